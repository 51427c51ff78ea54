"""Workers that are killed, stopped or told to cancel in the middle of a file: all or nothing, and the job says so."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import httpx
import pytest
import pytest_asyncio
from asgi_lifespan import LifespanManager
from rappit_common.testing.plugin import JWT_SECRET, opened_sandbox, stateful_settings
from rappit_common.testing.waiting import eventually
from rappit_common.web.auth import Tokens
from rappit_inventory.composition import SERVICE
from rappit_inventory.settings import InventorySettings

pytestmark = pytest.mark.server
HEADER = "sku,quantity,warehouse_code\n"
FILE = HEADER + "A,10,BER\nB,20,BER\n"


class Workers:
    """``python -m rappit_inventory worker``, one after the other."""

    def __init__(self, sandbox, log):
        self._environment = {
            **{name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}},
            "DATABASE_URL": sandbox.urls("inventory").runtime_url,
            "RABBITMQ_URL": sandbox.rabbitmq_url,
            "REDIS_URL": sandbox.redis_url,
            "JWT_SECRET": JWT_SECRET,
            "HTTP_HOST": "127.0.0.1",
            "HTTP_PORT": "0",
            "IMPORT_LEASE_S": "2",
            "IMPORT_POLL_S": "0.1",
        }
        self._log = log
        self._process = None

    def start(self):
        from socket import socket  # noqa: PLC0415 - needed here only

        with socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "rappit_inventory", "worker"],
                env={**self._environment, "HTTP_PORT": port},
                stdout=log,
                stderr=log,
            )

    def kill(self):
        self._process.kill()
        self._process.wait()

    def terminate(self):
        self._process.terminate()
        assert self._process.wait(20) == 0

    def clean_up(self):
        if self._process is not None and self._process.poll() is None:
            self.kill()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def own_sandbox(servers) -> AsyncIterator:
    """A database of these tests' own, where nobody else's worker looks for files."""
    async with opened_sandbox(servers, "import_worker") as made:
        yield made


@pytest_asyncio.fixture
async def workers(own_sandbox, tmp_path):
    made = Workers(own_sandbox, tmp_path / "worker.log")
    try:
        yield made
    finally:
        made.clean_up()


@pytest_asyncio.fixture
async def merchant(own_sandbox, inventory):
    """A merchant whose API runs here and applies no files."""
    settings = await stateful_settings(own_sandbox, InventorySettings, "rappit_inventory", "inventory")
    app = SERVICE.create(settings, "api")
    async with (
        LifespanManager(app, startup_timeout=15, shutdown_timeout=15) as manager,
        httpx.AsyncClient(transport=httpx.ASGITransport(manager.app), base_url="http://inventory", timeout=30) as http,
    ):
        own = type(inventory)(
            settings, http, None, Tokens(settings.jwt_secret), own_sandbox.rabbitmq_url, own_sandbox.admin_url
        )
        yield own.merchant()


@asynccontextmanager
async def held(merchant, sku):
    """Hold a level's lock, so that an import of it stands in the middle."""
    connection = await asyncpg.connect(merchant.inventory.admin_url, server_settings={"search_path": "inventory"})
    try:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(
            "SELECT 1 FROM inventory_levels l JOIN skus s ON s.id = l.sku_id WHERE l.organization_id = $1"
            " AND s.code = $2 FOR UPDATE OF l",
            merchant.organization_id,
            sku,
        )
        yield
        await transaction.rollback()
    finally:
        await connection.close()


async def sent(merchant):
    answer = await merchant.call(
        "POST", "/bulk", content=FILE, headers={"Content-Type": "text/csv"}, params={"async": "true", "mode": "add"}
    )
    assert answer.status_code == 202, answer.text
    return answer.json()["import_id"]


async def until(merchant, import_id, **wanted):
    async def reached():
        found = await merchant.get(f"/imports/{import_id}")
        return found if all(found[name] == value for name, value in wanted.items()) else None

    return await eventually(reached, what=f"{wanted}", within_s=30)


async def ledger_rows(merchant, import_id):
    rows = await merchant.sql("SELECT count(*) AS n FROM stock_ledger WHERE source_id = $1", import_id)
    return rows[0]["n"]


async def stocked(merchant):
    await merchant.stock({("A", "BER"): 1, ("B", "BER"): 2})
    return await merchant.levels()


async def test_import_of_a_killed_worker_is_run_again_exactly_once(merchant, workers):
    before = await stocked(merchant)
    async with held(merchant, "B"):
        workers.start()
        import_id = await sent(merchant)
        await until(merchant, import_id, phase="checking")
        await asyncio.to_thread(workers.kill)
        assert await merchant.levels() == before
        assert (await merchant.get(f"/imports/{import_id}"))["status"] == "running"
    workers.start()
    found = await until(merchant, import_id, status="completed")
    assert found["updated"] == 2
    assert await merchant.levels() == {("A", "BER"): (11, 0, 11), ("B", "BER"): (22, 0, 22)}
    assert await ledger_rows(merchant, import_id) == 2
    await merchant.assert_ledger_matches()


async def test_import_interrupted_twice_has_failed_and_says_so(merchant, workers):
    before = await stocked(merchant)
    async with held(merchant, "B"):
        import_id = await sent(merchant)
        for _ in range(2):
            workers.start()
            await until(merchant, import_id, status="running", phase="checking")
            await asyncio.to_thread(workers.kill)
            # The next one claims it when the lease has run out, and begins to read anew.
            await merchant.sql("UPDATE imports SET phase = 'lost' WHERE id = $1", import_id)
        workers.start()
        found = await until(merchant, import_id, status="failed")
    assert found["error_code"] == "interrupted"
    assert await merchant.levels() == before
    assert await ledger_rows(merchant, import_id) == 0


async def test_worker_that_stops_gives_its_import_to_the_next(merchant, workers):
    await stocked(merchant)
    async with held(merchant, "B"):
        workers.start()
        import_id = await sent(merchant)
        await until(merchant, import_id, phase="checking")
        await asyncio.to_thread(workers.terminate)
        assert (await merchant.get(f"/imports/{import_id}"))["status"] == "queued"
    workers.start()
    await until(merchant, import_id, status="completed")
    assert await ledger_rows(merchant, import_id) == 2


async def test_running_import_is_cancelled_and_changes_nothing(merchant, workers):
    before = await stocked(merchant)
    async with held(merchant, "B"):
        workers.start()
        import_id = await sent(merchant)
        await until(merchant, import_id, phase="checking")
        assert (await merchant.call("POST", f"/imports/{import_id}/cancel")).json()["cancel_requested"] is True
        await until(merchant, import_id, status="cancelled")
    assert await merchant.levels() == before
    assert await ledger_rows(merchant, import_id) == 0


async def test_waiting_import_is_cancelled_at_once(merchant):
    before = await stocked(merchant)
    import_id = await sent(merchant)
    answer = await merchant.call("POST", f"/imports/{import_id}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert await merchant.levels() == before
