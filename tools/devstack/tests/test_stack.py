"""A whole stack of small services on real servers, behind the real ingress."""

import asyncio
import os
import signal
import socket
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from rappit_devstack import processes
from rappit_devstack.catalogue import CATALOGUE
from rappit_devstack.errors import DevstackError
from rappit_devstack.processes import ProcessRecord
from rappit_devstack.servers import Servers
from rappit_devstack.stack import Stack, running
from rappit_devstack.supervisor import MARKER

pytestmark = [pytest.mark.server, pytest.mark.timeout(180), pytest.mark.xdist_group("devstack-stack")]

SMALL_SERVICE = str(Path(__file__).parent / "small_service.py")
TABLE = [
    replace(spec, command=("python", SMALL_SERVICE, "serve"), schema="orders" if spec.name == "orders" else None)
    for spec in CATALOGUE
]
EVERY_PROCESS = {*(spec.name for spec in CATALOGUE), "ingress"}


@pytest.fixture(scope="module")
def urls(tmp_path_factory):
    servers = Servers(tmp_path_factory.mktemp("servers"), durable=False, say=lambda _line: None)
    yield servers.start()
    servers.kill()


@pytest.fixture(scope="module")
def stack(urls, tmp_path_factory):
    with running(tmp_path_factory.mktemp("stacks"), urls, table=TABLE) as started:
        yield started
    assert not started.folder.exists()
    assert list(processes.marked(MARKER, str(started.folder))) == []


@pytest.fixture
def client(stack):
    with httpx.Client(base_url=stack.ingress_url, timeout=20, trust_env=False) as made:
        yield made


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/auth/token", "identity"),
        ("/organizations", "identity"),
        ("/users/1", "identity"),
        ("/api-keys", "identity"),
        ("/channels", "webhook-gateway"),
        ("/webhooks/1", "webhook-gateway"),
        ("/orders", "orders"),
        ("/orders/ops/dead-letters", "orders"),
        ("/inventory/bulk", "inventory"),
        ("/shipping/labels", "shipping"),
        ("/", "console"),
        ("/ordersheet", "console"),
    ],
)
def test_the_ingress_routes_each_prefix_to_its_service(stack, client, path, name):
    answer = client.get(path).json()
    assert answer["pid"] == stack.service(name).pid
    assert answer["path"] == path


@pytest.mark.parametrize("path", ["/health/ready", "/health", "/metrics"])
def test_probes_and_metrics_are_not_public(client, path):
    answer = client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("path", "megabytes", "status"), [("/orders", 10, 200), ("/webhooks/1", 12, 413), ("/inventory/bulk", 12, 200)]
)
def test_bodies_are_limited_and_only_imports_may_be_large(client, path, megabytes, status):
    answer = client.post(path, content=b"x" * megabytes * 1024 * 1024)
    assert answer.status_code == status
    if status == 413:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "body_too_large"


def test_an_import_announced_larger_than_the_limit_is_refused_at_once(client):
    # Plain sockets, because an HTTP client insists on sending what it announces.
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=10) as raw:
        raw.sendall(b"POST /inventory/bulk HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (211 * 1024 * 1024))
        assert raw.recv(64).startswith(b"HTTP/1.1 413 ")


def test_a_caller_cannot_say_where_it_comes_from(client):
    answer = client.get("/orders", headers={"X-Forwarded-For": "9.9.9.9", "X-Forwarded-Proto": "https"}).json()
    assert answer["headers"]["x-forwarded-for"] == "127.0.0.1"
    assert answer["headers"]["x-forwarded-proto"] == "http"


def test_a_harmless_request_id_is_kept_and_another_replaced(client):
    def seen(given):
        return client.get("/orders", headers={"X-Request-Id": given}).json()["headers"]["x-request-id"]

    assert seen("caller-request-1") == "caller-request-1"
    assert len(seen('evil" id')) == 32


def test_server_sent_events_come_one_by_one(client):
    with client.stream("GET", "/stream") as events:
        lines = events.iter_lines()
        assert next(lines) == "data: first"
        # Only now: were the answer held back until its end, the line above would never come.
        client.get("/release")
        assert "data: second" in list(lines)


def test_a_schema_is_migrated_before_its_service_runs(stack):
    log = stack.log("orders-migrate")
    assert log.exists()
    assert log.read_text() == ""


def test_an_unready_service_is_answered_with_a_problem(stack, client):
    stack.halt("shipping")
    answer = client.get("/shipping")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    stack.restart("shipping")
    assert client.get("/shipping").status_code == 200


def test_a_killed_process_is_started_again(stack, client):
    before = stack.kill("orders")
    assert processes.wait_until(lambda: stack.service("orders").pid not in {0, before}, timeout_s=20)
    stack.wait_ready("orders")
    assert client.get("/orders").json()["pid"] == stack.service("orders").pid


def test_up_on_a_running_stack_changes_nothing(stack):
    stack.wait_ready()
    before = {name: status.pid for name, status in stack.statuses().items()}
    stack.up()
    assert {name: status.pid for name, status in stack.statuses().items()} == before
    assert set(before) == EVERY_PROCESS


def test_a_killed_supervisor_does_not_leave_the_stack_unstartable(stack, client):
    orphans = {status.pid for status in stack.statuses().values()}
    supervisor = ProcessRecord.load(stack.folder / "supervisord.json")
    os.kill(supervisor.pid, signal.SIGKILL)
    assert processes.wait_until(lambda: not supervisor.alive(), timeout_s=10)
    assert client.get("/orders").status_code == 200
    stack.up()
    assert client.get("/orders").status_code == 200
    assert not orphans & {status.pid for status in stack.statuses().values()}
    # Who adopted them may not have buried them yet, so ask whether they live rather than whether a pid is known.
    for pid in orphans:
        with pytest.raises(ProcessLookupError):
            ProcessRecord.of(pid)


def test_down_ends_everything_and_up_begins_again_at_the_same_address(stack, client):
    address = stack.ingress_url
    stack.down()
    assert list(processes.marked(MARKER, str(stack.folder))) == []
    assert stack.statuses() == {}
    stack.up()
    assert stack.ingress_url == address
    assert client.get("/orders").status_code == 200


def test_a_missing_setting_ends_the_start_at_once_and_is_shown(urls, tmp_path):
    table = [replace(TABLE[0], variables=lambda _world: {"BROKEN": "1"})]
    with (
        pytest.raises(DevstackError, match=r"(?s)identity cannot start.*JWT_SECRET is not set"),
        running(tmp_path, urls, table=table),
    ):
        pytest.fail("it started")


def test_two_stacks_live_side_by_side(urls, tmp_path, stack):
    table = [spec for spec in TABLE if spec.name == "orders"]
    with running(tmp_path, urls, table=table) as other:
        assert other.premises.name != stack.premises.name
        assert httpx.get(other.service("orders").url, trust_env=False).json()["pid"] == other.service("orders").pid
    assert stack.service("orders").pid != 0


async def test_a_stack_can_be_started_from_inside_an_event_loop(urls, tmp_path):
    assert asyncio.get_running_loop().is_running()
    with running(tmp_path, urls, table=[spec for spec in TABLE if spec.name == "orders"]) as started:
        assert started.service("orders").pid != 0


def test_a_folder_that_is_no_stack_is_never_removed(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter").write_text("dear")
    with pytest.raises(DevstackError, match="not a stack"):
        Stack(tmp_path / "mine").destroy()
    assert (tmp_path / "mine/letter").read_text() == "dear"
