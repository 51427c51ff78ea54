"""deploy/rabbitmq: the policies mean our queues and no others, and the loader of the containers sets them."""

import importlib
import json
import os
import re
import subprocess
import sys
from urllib.parse import quote

import httpx
import pytest
from rappit_common.messaging.topology import delay_name

from .compose_file import ROOT

FOLDER = ROOT / "deploy/rabbitmq"
POLICIES = json.loads((FOLDER / "policies.json").read_text())["policies"]
SERVICES = {
    "orders": "rappit_orders.api",
    "inventory": "rappit_inventory.composition",
    "shipping": "rappit_shipping.composition",
}


def of(queue):
    return [policy["name"] for policy in POLICIES if re.search(policy["pattern"], queue)]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_each_queue_of_a_service_is_meant_by_one_policy(name):
    subscriptions = importlib.import_module(SERVICES[name]).SERVICE.subscriptions
    assert subscriptions
    for subscription in subscriptions:
        assert of(subscription.queue) == ["rappit-work"]
        # Nothing may be refused or dropped that is dead already.
        assert of(subscription.dead_letter_queue) == []
    assert of(delay_name(name, 5.0)) == of(delay_name(name, 0.05)) == ["rappit-retry"]


def load(vhost, **environment):
    return subprocess.run(
        [sys.executable, "-IS", FOLDER / "load-policies"],
        env={"PATH": os.environ["PATH"], "RABBITMQ_VHOST": vhost, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


@pytest.mark.server
async def test_loader_sets_the_policies_and_may_be_repeated(sandbox):
    path = f"/api/policies/{quote(sandbox.name)}"
    async with httpx.AsyncClient(base_url=sandbox.servers.management_url, timeout=30) as client:
        for policy in POLICIES:
            (await client.delete(f"{path}/{policy['name']}")).raise_for_status()
        for _ in range(2):
            done = load(sandbox.name, RABBITMQ_MANAGEMENT_URL=sandbox.servers.management_url)
            assert done.returncode == 0, done.stderr
        found = {policy["name"]: policy for policy in (await client.get(path)).json()}
    assert found == {policy["name"]: {**policy, "vhost": sandbox.name} for policy in POLICIES}


@pytest.mark.server
def test_loader_says_why_it_could_not(servers):
    done = load("no-such-host", RABBITMQ_MANAGEMENT_URL=servers.management_url)
    assert done.returncode == 1
    assert "rappit-work was not set" in done.stderr
    assert load("/").returncode == 78
