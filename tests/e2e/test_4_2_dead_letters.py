"""4.2: what cannot be processed is kept, clogs nothing, and can be sent again."""

import asyncio
import csv
import io
import json
import os
import sys
from typing import Any

import pytest_asyncio
from rappit_demo import orders_chapter
from rappit_demo.client import until
from rappit_doubles.channels.shopify_payload import shopify_json

POISONED = 4
EDITOR = """sed -i 's/"nonsense"/1/g'"""


class OperatorShell:
    """The ``rappit`` command as a process, signed in as the platform's operator."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = {"PATH": os.environ["PATH"], **environment}

    async def run(self, *arguments: str, expected: int = 0) -> str:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "rappit_cli",
            *arguments,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        said, complained = await process.communicate()
        assert process.returncode == expected, complained.decode()
        return said.decode()

    async def letters(self, *arguments: str) -> dict[str, Any]:
        return json.loads(await self.run("dead-letters", *arguments, "--json"))


@pytest_asyncio.fixture(loop_scope="session")
async def shell(stack, tmp_path):
    opened = OperatorShell(
        {"XDG_CONFIG_HOME": str(tmp_path), "RAPPIT_PASSWORD": stack.operator_password, "EDITOR": EDITOR}
    )
    await opened.run("login", "--url", stack.ingress_url, "--email", stack.operator_email)
    return opened


async def test_poison_is_kept_and_requeued_once_its_body_is_mended(scene):
    await orders_chapter.poison_mended_and_requeued(scene)
    assert scene.story.differences == 0, scene.story.rows


async def test_poison_does_not_hold_up_the_orders_behind_it(scene):
    for _ in range(5):
        await scene.shop.deliver("orders/create", b"not json")
    order = scene.shop.create_order([("SKU-0017", 1, "1.00")])
    await order.deliver()
    seen = await scene.merchant.order_in("shopify", str(order.id), "reserved")
    assert seen["external_order_id"] == str(order.id)


async def poisoned_orders(scene, shell, number):
    """Deliver orders whose quantity is nonsense. Returns them, and the options that mean their letters."""
    orders = [scene.shop.create_order([("SKU-0018", 1, "1.00")]) for _ in range(number)]
    for order in orders:
        body = shopify_json(order.payload()).replace(b'quantity":1,', b'quantity":"nonsense",')
        assert b"nonsense" in body
        await order.deliver(body_override=body)
    meant = ("--tenant", scene.merchant.organization_id)

    async def all_dead():
        found = (await shell.letters("list", *meant, "--status", "dead"))["items"]
        return found if len(found) == number else None

    await until(all_dead, what=f"{number} dead letters")
    return orders, meant


async def test_an_operator_mends_one_at_the_shell_and_the_audit_log_keeps_the_difference(scene, shell):
    [order], meant = await poisoned_orders(scene, shell, 1)
    [letter] = (await shell.letters("list", *meant, "--text", "nonsense"))["items"]
    assert (letter["service"], letter["queue"], letter["error_type"]) == (
        "orders",
        "orders.accept-webhook",
        "invalid_delivery",
    )
    assert (await shell.letters("list", *meant, "--text", "-nonsense"))["items"] == []
    shown = await shell.run("dead-letters", "show", letter["id"])
    assert "quantity" in shown
    await shell.run("dead-letters", "note", letter["id"], "the shop's app sends words")

    # It cannot be asked here, so nothing is sent without --yes.
    await shell.run("dead-letters", "requeue", letter["id"], "--edit", expected=1)
    await shell.run("dead-letters", "requeue", letter["id"], "--edit", "--yes", "--reason", "mended by hand")
    seen = await scene.merchant.order_in("shopify", str(order.id), "reserved")
    assert seen["external_order_id"] == str(order.id)
    [audited] = (await shell.letters("audit", "--letter", letter["id"], "--action", "dead_letter.requeue"))["items"]
    assert audited["reason"] == "mended by hand"
    assert any(line.startswith("-") and "nonsense" in line for line in audited["detail"]["diff"])
    again = await shell.run("dead-letters", "requeue", letter["id"], expected=1)
    assert again == ""


async def test_a_group_goes_back_in_a_run_that_stops_because_nothing_was_mended(scene, shell):
    _, meant = await poisoned_orders(scene, shell, POISONED)
    [group] = (await shell.letters("groups", *meant))["items"]
    assert (group["count"], group["service"]) == (POISONED, "orders")
    meant = (*meant, "--group", group["group_key"])

    dry = await shell.letters("requeue", *meant, "--dry-run")
    assert dry["destinations"] == [
        {
            "service": "orders",
            "queue": "orders.accept-webhook",
            "event": "gateway.webhook-received.v1",
            "count": POISONED,
        }
    ]
    await shell.run("dead-letters", "requeue", *meant, expected=1)
    told = await shell.run("dead-letters", "requeue", *meant, "--yes", "--follow", "--json", expected=1)
    [run] = json.loads(told)["items"]
    assert (run["state"], run["stage"], run["sent"], run["failed"]) == ("stopped", "canary_1", 1, 1)
    assert "failed again" in run["stop_reason"]
    listed = (await shell.letters("runs", "--service", "orders"))["items"]
    assert run["id"] in [one["id"] for one in listed]

    exported = list(csv.DictReader(io.StringIO(await shell.run("dead-letters", "export", *meant))))
    assert sorted(row["failures"] for row in exported) == ["1"] * (POISONED - 1) + ["2"]
    discarded = await shell.letters("discard", *meant, "--yes", "--reason", "the shop sent them anew")
    assert [row["changed"] for row in discarded["items"] if row["service"] == "orders"] == [POISONED]
    assert (await shell.letters("list", *meant, "--status", "dead"))["items"] == []
    await shell.run("dead-letters", "restore", *meant, "--yes")
    assert len((await shell.letters("list", *meant, "--status", "dead"))["items"]) == POISONED
