"""Row 3: stock reserved by the consumer for orders spread over many SKUs.

The limit is pgbench calling one SQL function a transaction, which does what a reservation cannot do without: claim the
message, take the stock on a condition, write the reservation and the message that answers it. The measured rate is from
the first order published to the last demand answered, through the real consumer process.
"""

import asyncio
import os
import re
import shutil
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import aio_pika
import asyncpg
import httpx
from pydantic import SecretStr
from rappit_common.clock import new_id, utc_now
from rappit_common.messaging.events import EVENTS_EXCHANGE, HEADER_ORGANIZATION
from rappit_common.web.auth import Principal, Role, Tokens
from sqlalchemy.engine import make_url
from stand import Stand

SKUS = 1_000
STOCK = 10_000_000
CLIENTS = 16
IN_FLIGHT = 200
EVENT = "orders.order-placed.v1"
FIRST_ORDERS = 1_000
DRAIN_WITHIN_S = 60
POLL_S = 0.02

_LIMIT_SCHEMA = """
CREATE SCHEMA IF NOT EXISTS bench;
CREATE TABLE IF NOT EXISTS bench.levels (sku int PRIMARY KEY, on_hand bigint NOT NULL, reserved bigint NOT NULL,
    CHECK (reserved <= on_hand));
CREATE TABLE IF NOT EXISTS bench.reservations (id uuid PRIMARY KEY, sku int NOT NULL, quantity int NOT NULL);
CREATE TABLE IF NOT EXISTS bench.inbox (message_id uuid PRIMARY KEY);
CREATE TABLE IF NOT EXISTS bench.outbox (id uuid PRIMARY KEY, body bytea NOT NULL, created_at timestamptz NOT NULL);
INSERT INTO bench.levels SELECT n, 10000000, 0 FROM generate_series(1, 1000) n ON CONFLICT DO NOTHING;
CREATE OR REPLACE FUNCTION bench.reserve(wanted int) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE message uuid := gen_random_uuid();
BEGIN
    INSERT INTO bench.inbox VALUES (message);
    UPDATE bench.levels SET reserved = reserved + 1 WHERE sku = wanted AND on_hand - reserved >= 1;
    INSERT INTO bench.reservations VALUES (message, wanted, 1);
    INSERT INTO bench.outbox VALUES (message, convert_to(repeat('x', 600), 'UTF8'), now());
    RETURN true;
END $$;
"""
_LIMIT_SCRIPT = "\\set sku random(1, 1000)\nSELECT bench.reserve(:sku);\n"
_TPS = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)


def find_pgbench() -> str | None:
    """Return where pgbench lies, if anywhere."""
    found = shutil.which("pgbench")
    if found is not None:
        return found
    root = Path(__file__).parents[2]
    places: Iterable[Path] = [
        *sorted(Path("/usr/lib/postgresql").glob("*/bin/pgbench"), reverse=True),
        *sorted((root / ".rappit").glob("**/bin/pgbench")),
    ]
    return next((str(place) for place in places if place.is_file()), None)


class Reservations:
    """Row 3."""

    title = "reservation through the consumer, spread SKUs"
    limit_title = f"pgbench, one reservation function per transaction, {CLIENTS} clients"
    goal = 0.5

    def __init__(self, stand: Stand, pgbench: str) -> None:
        self._stand = stand
        self._pgbench = pgbench
        self._stack = AsyncExitStack()
        self._organization_id = new_id()
        self._rate = 0.0

    async def __aenter__(self) -> Self:
        stand = self._stand
        async with stand.service("rappit_inventory", "inventory", "api") as port:
            await self._stock(port)
        self._database: Any = await asyncpg.connect(stand.sandbox.admin_url)
        self._stack.push_async_callback(self._database.close)
        await self._database.execute(_LIMIT_SCHEMA)
        connection = await aio_pika.connect(stand.sandbox.rabbitmq_url)
        await self._stack.enter_async_context(connection)
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        await self._stack.enter_async_context(stand.service("rappit_inventory", "inventory", "worker"))
        self._exchange = await channel.get_exchange(EVENTS_EXCHANGE, ensure=False)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def _stock(self, port: int) -> None:
        principal = Principal(new_id(), self._organization_id, Role.STAFF, "bench")
        token = Tokens(SecretStr(self._stand.jwt_secret)).issue(principal, now=utc_now(), lifetime=timedelta(minutes=5))
        steps: list[tuple[str, dict[str, Any]]] = [
            ("/inventory/warehouses", {"code": "W1", "name": "One", "priority": 1, "country_code": "DE"}),
            ("/inventory/skus/bulk", {"items": [{"sku": f"SKU-{n}", "name": f"Thing {n}"} for n in range(SKUS)]}),
            (
                "/inventory/bulk",
                {"items": [{"sku": f"SKU-{n}", "quantity": STOCK, "warehouse_code": "W1"} for n in range(SKUS)]},
            ),
        ]
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client:
            for path, body in steps:
                (await client.post(path, json=body)).raise_for_status()

    async def limit(self, seconds: float) -> float:
        """Transactions per second."""
        process = await asyncio.create_subprocess_exec(
            self._pgbench,
            *("-n", "-c", str(CLIENTS), "-j", "2", "-M", "prepared", "-T", str(max(1, round(seconds))), "-f", "-"),
            env={**os.environ, **self._server()},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate(_LIMIT_SCRIPT.encode())
        found = _TPS.search(out.decode())
        if found is None:
            raise RuntimeError(f"pgbench said: {err.decode()[:1000]}")
        await self._database.execute("TRUNCATE bench.inbox, bench.outbox, bench.reservations")
        return float(found[1])

    def _server(self) -> dict[str, str]:
        url = make_url(self._stand.sandbox.admin_url)
        return {
            "PGHOST": url.host or "",
            "PGPORT": str(url.port or 5432),
            "PGUSER": url.username or "",
            "PGPASSWORD": str(url.password or ""),
            "PGDATABASE": url.database or "",
        }

    async def measured(self, seconds: float) -> float:
        """Orders reserved per second."""
        orders = int(self._rate * seconds) or FIRST_ORDERS
        before = await self._answered()
        started = time.perf_counter()
        publishing = asyncio.create_task(self._publish(orders))
        async with asyncio.timeout(DRAIN_WITHIN_S + seconds):
            while await self._answered() < before + orders:  # noqa: ASYNC110 - it happens in another process
                await asyncio.sleep(POLL_S)
        elapsed = time.perf_counter() - started
        await publishing
        self._rate = orders / elapsed
        return self._rate

    async def _answered(self) -> int:
        query = "SELECT count(*) FROM inventory.demands WHERE organization_id = $1 AND status = 'reserved'"
        return int(await self._database.fetchval(query, self._organization_id))

    async def _publish(self, orders: int) -> None:
        numbers = iter(range(orders))

        async def publish_on() -> None:
            for number in numbers:
                await self._exchange.publish(self._order(number), EVENT)

        await asyncio.gather(*(publish_on() for _ in range(IN_FLIGHT)))

    def _order(self, number: int) -> aio_pika.Message:
        order_id: UUID = new_id()
        body = (
            f'{{"organization_id":"{self._organization_id}","order_id":"{order_id}","order_version":1,'
            f'"state_version":1,"state":"received","demand":[{{"sku":"SKU-{number % SKUS}","quantity":1}}]}}'
        )
        return aio_pika.Message(
            body.encode(),
            headers={HEADER_ORGANIZATION: str(self._organization_id)},
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=str(new_id()),
            type=EVENT,
        )
