"""Stock reserved by the consumer: for orders spread over many SKUs, for one hot SKU, and as either grows.

The limit is in ``bare_reservations``. The measured rate is from the first order published to the last unit reserved,
through the real consumer process: broker, inbox, ledger and outbox included.
"""

import asyncio
import time
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any, Self
from uuid import UUID

import aio_pika
import asyncpg
import httpx
from pydantic import SecretStr
from rappit_common.clock import new_id, utc_now
from rappit_common.messaging.events import EVENTS_EXCHANGE, HEADER_ORGANIZATION
from rappit_common.web.auth import Principal, Role, Tokens
from stand import Stand

from rows.bare_reservations import BareReservations

SKUS = 1_000
MANY_SKUS = 1_000_000
STOCK = 10_000_000
CLIENTS = 16
IN_FLIGHT = 200
EVENT = "orders.order-placed.v1"
FIRST_ORDERS = 1_000
DRAIN_WITHIN_S = 60
POLL_S = 0.05
# Neighbouring orders are of SKUs far apart, and each SKU has its turn before any has another.
STRIDE = 7_919

# By statements and not through the API, since a file of a million rows is another row's business.
_ADD_SKUS = """
    INSERT INTO skus (organization_id, id, code, name)
    SELECT $1, gen_random_uuid(), 'SKU-' || n, 'Thing ' || n FROM generate_series($2::int, $3::int - 1) AS n
"""
_FILL = """
    INSERT INTO inventory_levels (organization_id, sku_id, warehouse_id, quantity_total, quantity_reserved,
                                  quantity_available, updated_at)
    SELECT $1, s.id, w.id, $2::bigint, 0, $2::bigint, now()
    FROM skus s JOIN warehouses w USING (organization_id) WHERE s.organization_id = $1
    ON CONFLICT DO NOTHING
"""
_TELL = """
    INSERT INTO stock_ledger (organization_id, at, sku_id, warehouse_id, kind, actor, source_type, source_id,
                              total_before, total_after, reserved_before, reserved_after)
    SELECT $1, now(), l.sku_id, l.warehouse_id, 'import', 'bench', 'import', l.warehouse_id, 0, l.quantity_total, 0, 0
    FROM inventory_levels l WHERE l.organization_id = $1
    AND NOT EXISTS (SELECT FROM stock_ledger g WHERE g.organization_id = $1 AND g.sku_id = l.sku_id)
"""


class Shop:
    """An organization with stock, whose orders a consumer reserves.

    Args:
        stand: Where.
        skus: How many SKUs it has.
        wanted: How many of them its orders are for.
    """

    def __init__(self, stand: Stand, skus: int = SKUS, wanted: int | None = None) -> None:
        self.organization_id = new_id()
        self._stand = stand
        self._skus = skus
        self._wanted = wanted or skus
        self._rate = 0.0
        self._placed = 0

    async def stock(self, port: int, database: Any) -> None:
        """Add its SKUs and fill its one warehouse."""
        principal = Principal(new_id(), self.organization_id, Role.STAFF, "bench")
        token = Tokens(SecretStr(self._stand.jwt_secret)).issue(principal, now=utc_now(), lifetime=timedelta(minutes=5))
        first = range(min(self._skus, SKUS))
        steps: list[tuple[str, dict[str, Any]]] = [
            ("/inventory/warehouses", {"code": "W1", "name": "One", "priority": 1, "country_code": "DE"}),
            ("/inventory/skus/bulk", {"items": [{"sku": f"SKU-{n}", "name": f"Thing {n}"} for n in first]}),
            (
                "/inventory/bulk",
                {"items": [{"sku": f"SKU-{n}", "quantity": STOCK, "warehouse_code": "W1"} for n in first]},
            ),
        ]
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client:
            for path, body in steps:
                (await client.post(path, json=body)).raise_for_status()
        if self._skus > SKUS:
            await database.execute("SET search_path = inventory")
            await database.execute(_ADD_SKUS, self.organization_id, SKUS, self._skus)
            await database.execute(_FILL, self.organization_id, STOCK)
            await database.execute(_TELL, self.organization_id)
            for table in ("skus", "inventory_levels", "stock_ledger"):
                await database.execute(f"VACUUM ANALYZE {table}")

    async def reserve(self, seconds: float, database: Any, channel: Any) -> float:
        """Place as many orders as the last rate would take so long; returns orders reserved per second."""
        orders = int(self._rate * seconds) or FIRST_ORDERS
        last = await database.fetchval("SELECT last_value FROM inventory.stock_ledger_id_seq")
        started = time.perf_counter()
        publishing = asyncio.create_task(self._publish(orders, channel))
        async with asyncio.timeout(DRAIN_WITHIN_S + seconds):
            while await self._reserved(database, last, orders) < orders:  # noqa: ASYNC110 - in another process
                await asyncio.sleep(POLL_S)
        elapsed = time.perf_counter() - started
        await publishing
        self._rate = orders / elapsed
        return self._rate

    async def _reserved(self, database: Any, last: int, orders: int) -> int:
        # The number of the ledger's newest row costs nothing to read, however much there is; but it runs ahead of the
        # commits, so the rows are counted once it says that they are all there.
        newest = await database.fetchval("SELECT last_value FROM inventory.stock_ledger_id_seq")
        if newest - last < orders:
            return 0
        query = "SELECT count(*) FROM inventory.stock_ledger WHERE organization_id = $1 AND id > $2"
        return int(await database.fetchval(query, self.organization_id, last))

    async def _publish(self, orders: int, channel: Any) -> None:
        numbers = iter(range(orders))

        async def publish_on() -> None:
            for _ in numbers:
                self._placed += 1
                message = self._order(self._placed)
                # Confirmed, and past aio-pika, whose publish costs half as much as a reservation.
                await channel.basic_publish(
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
            f'{{"organization_id":"{self.organization_id}","order_id":"{order_id}","order_version":1,'
            f'"state_version":1,"state":"received",'
            f'"demand":[{{"sku":"SKU-{number * STRIDE % self._wanted}","quantity":1}}]}}'
        )
        return aio_pika.Message(
            body.encode(),
            headers={HEADER_ORGANIZATION: str(self.organization_id)},
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=str(new_id()),
            type=EVENT,
        )


class _Consumed:
    """A worker process, a channel to publish by, and shops with stock."""

    def __init__(self, stand: Stand, *shops: Shop, prefetch: int | None = None) -> None:
        self._stand = stand
        self._shops = shops
        self._changes = {} if prefetch is None else {"RESERVATION_PREFETCH": str(prefetch)}
        self._stack = AsyncExitStack()
        self._database: Any = None
        self._channel: Any = None

    async def __aenter__(self) -> Self:
        stand = self._stand
        self._database = await asyncpg.connect(stand.sandbox.admin_url, command_timeout=600)
        self._stack.push_async_callback(self._database.close)
        async with stand.service("rappit_inventory", "inventory", "api") as port:
            for shop in self._shops:
                await shop.stock(port, self._database)
        connection = await aio_pika.connect(stand.sandbox.rabbitmq_url)
        await self._stack.enter_async_context(connection)
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        worker = stand.service("rappit_inventory", "inventory", "worker", **self._changes)
        await self._stack.enter_async_context(worker)
        self._channel = await channel.get_underlay_channel()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()


class Reservations(_Consumed):
    """Orders of one line, spread over 1,000 SKUs.

    Args:
        stand: Where.
        pgbench: The program.
        at_once: Messages that the consumer holds at once, and clients of pgbench; the service's own setting and 16
            when not given.
    """

    title = "reservation through the consumer, spread SKUs"
    goal: float | None = 0.5
    wanted = SKUS

    def __init__(self, stand: Stand, pgbench: str, at_once: int | None = None) -> None:
        # The limit has an organization of its own, so that neither waits for the other's locks.
        self._shop, self._other = Shop(stand, wanted=self.wanted), Shop(stand)
        super().__init__(stand, self._shop, self._other, prefetch=at_once)
        self._bare = BareReservations(stand, pgbench)
        self._clients = at_once or CLIENTS
        self.limit_title = f"pgbench, one reservation function per transaction, {self._clients} clients"
        if at_once is not None:
            self.title = f"{self.title}, {at_once} at once"
            self.goal = None

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        await self._bare.create(self._database, self._other.organization_id)
        return self

    async def limit(self, seconds: float) -> float:
        """Transactions per second."""
        return await self._bare.rate(seconds, clients=self._clients, skus=self.wanted)

    async def measured(self, seconds: float) -> float:
        """Orders reserved per second."""
        return await self._shop.reserve(seconds, self._database, self._channel)


class HotReservations(Reservations):
    """Orders that are all for the same SKU."""

    title = "reservation through the consumer, one hot SKU"
    goal: float | None = 1.5
    wanted = 1


class ManySkus(_Consumed):
    """The same consumer with 1,000 times the catalogue, spread over all of it."""

    title = f"reservation with {MANY_SKUS:,} SKUs instead of {SKUS:,}"
    limit_title = f"the same consumer, {SKUS:,} SKUs"
    goal: float | None = 0.8

    def __init__(self, stand: Stand) -> None:
        self._few, self._many = Shop(stand), Shop(stand, MANY_SKUS)
        super().__init__(stand, self._few, self._many)

    async def limit(self, seconds: float) -> float:
        """Orders reserved per second, of few SKUs."""
        return await self._few.reserve(seconds, self._database, self._channel)

    async def measured(self, seconds: float) -> float:
        """Orders reserved per second, of many."""
        return await self._many.reserve(seconds, self._database, self._channel)
