"""Row 3: stock reserved by the consumer for orders spread over many SKUs.

The limit is pgbench calling one SQL function a transaction, which writes the rows that a reservation writes, into the
same tables with their indexes, checks and row-level security, on the same server, under the service's own role: the
claim of the message, the level on a condition, the demand with its line, what it holds, the ledger, the answer and the
announcement of the stock. The measured rate is from the first order published to the last unit reserved, through the
real consumer process.
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
POLL_S = 0.05

_LIMIT_SCHEMA = """
CREATE SCHEMA IF NOT EXISTS bench;
GRANT USAGE ON SCHEMA bench TO {role};
CREATE OR REPLACE FUNCTION bench.reserve(number int) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    org CONSTANT uuid := '{organization_id}';
    wanted CONSTANT text := 'SKU-' || number;
    the_order uuid := gen_random_uuid();
    sku uuid;
    level record;
BEGIN
    PERFORM set_config('rappit.organization_id', org::text, true), set_config('rappit.bypass_tenancy', 'off', true);
    INSERT INTO inbox (consumer, message_id) VALUES ('inventory.reserve-on-order-changed', gen_random_uuid());
    SELECT id INTO sku FROM skus WHERE organization_id = org AND code_key = lower(wanted);
    UPDATE inventory_levels SET quantity_reserved = quantity_reserved + 1,
        quantity_available = quantity_available - 1, updated_at = now()
    WHERE organization_id = org AND sku_id = sku AND quantity_available >= 1 RETURNING * INTO level;
    IF NOT FOUND THEN RAISE EXCEPTION 'no stock of %', wanted; END IF;
    INSERT INTO demands (organization_id, order_id, order_version, reservation_version, status, shortages, updated_at)
    VALUES (org, the_order, 1, 1, 'reserved', '[]', now());
    INSERT INTO demand_lines (organization_id, order_id, sku_code, sku_id, quantity, quantity_open)
    VALUES (org, the_order, wanted, sku, 1, 0);
    INSERT INTO allocations (organization_id, order_id, sku_id, warehouse_id, quantity_reserved, quantity_committed)
    VALUES (org, the_order, sku, level.warehouse_id, 1, 0);
    INSERT INTO stock_ledger (organization_id, at, sku_id, warehouse_id, kind, actor, source_type, source_id,
        total_before, total_after, reserved_before, reserved_after)
    VALUES (org, now(), sku, level.warehouse_id, 'reserve', 'orders', 'order', the_order,
        level.quantity_total, level.quantity_total, level.quantity_reserved - 1, level.quantity_reserved);
    INSERT INTO outbox (id, organization_id, event, exchange, routing_key, message_id, content_type, headers, body,
        mandatory)
    SELECT gen_random_uuid(), org, event, 'rappit.events', event, gen_random_uuid(), 'application/json',
        jsonb_build_object('rappit-organization-id', org), convert_to(repeat('x', size), 'UTF8'), true
    FROM (VALUES ('inventory.reservation-changed.v1', 400), ('inventory.stock-changed.v1', 250)) AS told (event, size);
    RETURN true;
END $$;
"""
_LIMIT_SCRIPT = f"\\set number random(0, {SKUS - 1})\nSELECT bench.reserve(:number);\n"
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
        # The limit has an organization of its own, so that neither waits for the other's locks.
        self._limit_organization_id = new_id()
        self._rate = 0.0

    async def __aenter__(self) -> Self:
        stand = self._stand
        async with stand.service("rappit_inventory", "inventory", "api") as port:
            for organization_id in (self._organization_id, self._limit_organization_id):
                await self._stock(port, organization_id)
        self._database: Any = await asyncpg.connect(stand.sandbox.admin_url)
        self._stack.push_async_callback(self._database.close)
        role = make_url(stand.sandbox.urls("inventory").runtime_url).username
        await self._database.execute(_LIMIT_SCHEMA.format(role=role, organization_id=self._limit_organization_id))
        connection = await aio_pika.connect(stand.sandbox.rabbitmq_url)
        await self._stack.enter_async_context(connection)
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        await self._stack.enter_async_context(stand.service("rappit_inventory", "inventory", "worker"))
        self._channel: Any = await channel.get_underlay_channel()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def _stock(self, port: int, organization_id: UUID) -> None:
        principal = Principal(new_id(), organization_id, Role.STAFF, "bench")
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
        return float(found[1])

    def _server(self) -> dict[str, str]:
        url = make_url(self._stand.sandbox.urls("inventory").runtime_url)
        return {
            "PGHOST": url.host or "",
            "PGPORT": str(url.port or 5432),
            "PGUSER": url.username or "",
            "PGPASSWORD": str(url.password or ""),
            "PGDATABASE": url.database or "",
            "PGOPTIONS": "-c search_path=inventory -c jit=off",
        }

    async def measured(self, seconds: float) -> float:
        """Orders reserved per second."""
        orders = int(self._rate * seconds) or FIRST_ORDERS
        before = await self._reserved()
        started = time.perf_counter()
        publishing = asyncio.create_task(self._publish(orders))
        async with asyncio.timeout(DRAIN_WITHIN_S + seconds):
            while await self._reserved() < before + orders:  # noqa: ASYNC110 - it happens in another process
                await asyncio.sleep(POLL_S)
        elapsed = time.perf_counter() - started
        await publishing
        self._rate = orders / elapsed
        return self._rate

    async def _reserved(self) -> int:
        # Each order takes one unit: as many rows are read however many orders there are.
        query = "SELECT sum(quantity_reserved)::bigint FROM inventory.inventory_levels WHERE organization_id = $1"
        return int(await self._database.fetchval(query, self._organization_id))

    async def _publish(self, orders: int) -> None:
        numbers = iter(range(orders))

        async def publish_on() -> None:
            for number in numbers:
                message = self._order(number)
                # Confirmed, and past aio-pika, whose publish costs half as much as a reservation.
                await self._channel.basic_publish(
                    message.body,
                    exchange=EVENTS_EXCHANGE,
                    routing_key=EVENT,
                    properties=message.properties,
                    mandatory=True,
                    wait=False,
                )

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
