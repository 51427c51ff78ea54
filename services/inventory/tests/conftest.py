import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import aio_pika
import asyncpg
import httpx
import pytest_asyncio
from asgi_lifespan import LifespanManager
from rappit_common.clock import new_id, utc_now
from rappit_common.messaging.events import EVENTS_EXCHANGE
from rappit_common.service import Runtime
from rappit_common.testing.plugin import opened_sandbox, stateful_settings
from rappit_common.testing.servers import Sandbox, Servers
from rappit_common.testing.waiting import eventually
from rappit_common.web.auth import Principal, Role, Tokens
from rappit_inventory.composition import SERVICE
from rappit_inventory.settings import InventorySettings
from rappit_inventory.unit import InventoryUnit

sys.path.insert(0, str(Path(__file__).parent))


@dataclass
class Inventory:
    """The service, running whole in this process."""

    settings: InventorySettings
    http: httpx.AsyncClient
    runtime: Runtime[InventorySettings, InventoryUnit]
    tokens: Tokens
    rabbitmq_url: str
    admin_url: str
    app: Any = None

    def merchant(self) -> "Merchant":
        return Merchant(self)


@dataclass
class Merchant:
    """One organization of a test's own."""

    inventory: Inventory
    organization_id: UUID = field(default_factory=new_id)

    def headers(self, role: Role = Role.STAFF) -> dict[str, str]:
        principal = Principal(new_id(), self.organization_id, role, "tester@example.com")
        token = self.inventory.tokens.issue(principal, now=utc_now(), lifetime=timedelta(minutes=5))
        return {"Authorization": f"Bearer {token}"}

    async def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {**self.headers(more.pop("role", Role.STAFF)), **more.pop("headers", {})}
        return await self.inventory.http.request(method, f"/inventory{path}", headers=headers, **more)

    async def get(self, path: str, **params: Any) -> Any:
        answer = await self.call("GET", path, params=params, role=Role.VIEWER)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def stock(self, levels: dict[tuple[str, str], int]) -> None:
        """Add warehouses and SKUs that are not there yet and set levels, all through the API."""
        for code in dict.fromkeys(warehouse for _, warehouse in levels):
            answer = await self.call("POST", "/warehouses", json={"code": code, "name": code})
            assert answer.status_code in {201, 409}, answer.text
        items = [{"sku": sku, "name": sku} for sku in dict.fromkeys(sku for sku, _ in levels)]
        answer = await self.call("POST", "/skus/bulk", json={"items": items})
        assert answer.status_code == 200, answer.text
        rows = [{"sku": sku, "warehouse_code": code, "quantity": n} for (sku, code), n in levels.items()]
        answer = await self.call("POST", "/bulk", json={"items": rows})
        assert answer.status_code == 200, answer.text
        assert answer.json()["failed"] == 0, answer.text

    async def levels(self, **params: Any) -> dict[tuple[str, str], tuple[int, int, int]]:
        page = await self.get("/levels", limit=200, **params)
        return {
            (x["sku"], x["warehouse_code"]): (x["quantity_total"], x["quantity_reserved"], x["quantity_available"])
            for x in page["items"]
        }

    async def reservation(self, order_id: UUID) -> dict[str, Any]:
        return await self.get(f"/reservations/{order_id}")

    async def adjust(self, sku: str, warehouse: str, delta: int) -> httpx.Response:
        body = {"sku": sku, "warehouse_code": warehouse, "delta": delta, "reason": "counted"}
        return await self.call("POST", "/adjustments", json=body)

    async def until(self, order_id: UUID, status: str, version: int | None = None) -> dict[str, Any]:
        async def settled() -> dict[str, Any] | None:
            answer = await self.call("GET", f"/reservations/{order_id}")
            found = answer.json() if answer.status_code == 200 else {}
            right = found.get("status") == status and (version is None or found["order_version"] == version)
            return found if right else None

        return await eventually(settled, what=f"{order_id} {status}")

    def order(self, demand: dict[str, int], version: int = 1, order_id: UUID | None = None) -> dict[str, Any]:
        lines = [{"sku": sku, "quantity": quantity} for sku, quantity in demand.items()]
        return {
            "organization_id": str(self.organization_id),
            "order_id": str(order_id or new_id()),
            "order_version": version,
            "demand": lines,
        }

    async def publish(self, bodies: Iterable[dict[str, Any]], event: str = "orders.order-changed.v1") -> list[str]:
        """Publish events as their publisher would, with ids of their own."""
        connection = await aio_pika.connect(self.inventory.rabbitmq_url)
        async with connection, connection.channel() as channel:
            exchange = await channel.get_exchange(EVENTS_EXCHANGE)
            ids: list[str] = []

            async def send(body: dict[str, Any]) -> None:
                message_id = body.pop("_message_id", None) or str(new_id())
                ids.append(message_id)
                message = aio_pika.Message(
                    json.dumps(body).encode(),
                    message_id=message_id,
                    type=event,
                    content_type="application/json",
                    headers={"rappit-organization-id": str(self.organization_id)},
                )
                await exchange.publish(message, routing_key=event)

            await asyncio.gather(*(send(body) for body in bodies))
            return ids

    async def sql(self, query: str, *values: Any) -> list[asyncpg.Record]:
        """Ask the database as a superuser, whom no wall stops."""
        connection = await asyncpg.connect(self.inventory.admin_url, server_settings={"search_path": "inventory"})
        try:
            return await connection.fetch(query, *values)
        finally:
            await connection.close()

    async def told(self, event: str) -> list[dict[str, Any]]:
        """Return the events of one name that were written to the outbox, oldest first."""
        query = "SELECT body FROM outbox WHERE organization_id = $1 AND event = $2 ORDER BY created_at, id"
        return [json.loads(row["body"]) for row in await self.sql(query, self.organization_id, event)]

    async def post(self, path: str, body: dict[str, Any], **more: Any) -> Any:
        """Write through the API and return the answer, which must be a success."""
        answer = await self.call(more.pop("method", "POST"), path, json=body, **more)
        assert answer.status_code in {200, 201}, answer.text
        return answer.json()

    async def refused(self, path: str, body: dict[str, Any], status: int, code: str, **more: Any) -> str:
        """Be refused by the API; returns what it says to a person."""
        answer = await self.call(more.pop("method", "POST"), path, json=body, **more)
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        return answer.json()["detail"]

    async def assert_ledger_matches(self) -> None:
        """Every level equals the sum of its ledger, and what orders and holds have of it."""
        rows = await self.sql(
            """
            SELECT l.quantity_total, l.quantity_reserved,
                   coalesce(sum(g.total_after - g.total_before), 0) AS total,
                   coalesce(sum(g.reserved_after - g.reserved_before), 0) AS reserved,
                   (SELECT coalesce(sum(a.quantity_reserved), 0) FROM allocations a
                    WHERE a.organization_id = l.organization_id AND a.sku_id = l.sku_id
                      AND a.warehouse_id = l.warehouse_id)
                 + (SELECT coalesce(sum(h.quantity_held), 0) FROM hold_lines h
                    WHERE h.organization_id = l.organization_id AND h.sku_id = l.sku_id
                      AND h.warehouse_id = l.warehouse_id) AS held
            FROM inventory_levels l LEFT JOIN stock_ledger g USING (organization_id, sku_id, warehouse_id)
            WHERE l.organization_id = $1 GROUP BY l.organization_id, l.sku_id, l.warehouse_id
            """,
            self.organization_id,
        )
        assert rows
        for row in rows:
            assert row["quantity_total"] == row["total"]
            assert row["quantity_reserved"] == row["reserved"] == row["held"]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sandbox(servers: Servers) -> AsyncIterator[Sandbox]:
    """A broker of our own: these tests play queues that other services' tests declare for real."""
    async with opened_sandbox(servers, "inventory") as made:
        yield made


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def inventory(sandbox: Sandbox) -> AsyncIterator[Inventory]:
    settings = await stateful_settings(sandbox, InventorySettings, "rappit_inventory", "inventory")
    assert isinstance(settings, InventorySettings)
    app = SERVICE.create(settings, "serve")
    async with (
        LifespanManager(app, startup_timeout=15, shutdown_timeout=15) as manager,
        httpx.AsyncClient(transport=httpx.ASGITransport(manager.app), base_url="http://inventory", timeout=30) as http,
    ):

        async def ready() -> bool:
            return (await http.get("/health/ready")).status_code == 200

        await eventually(ready, what="readiness", within_s=60)
        # What nobody of this test process consumes needs a queue all the same, or it waits in the outbox.
        connection = await aio_pika.connect(sandbox.rabbitmq_url)
        async with connection, connection.channel() as channel:
            answers = await channel.declare_queue("orders.apply-reservation", durable=True)
            await answers.bind(EVENTS_EXCHANGE, "inventory.reservation-changed.v1")
        inner: Any = app
        while not hasattr(inner, "state"):
            inner = inner._app
        tokens = Tokens(settings.jwt_secret)
        yield Inventory(settings, http, inner.state.runtime, tokens, sandbox.rabbitmq_url, sandbox.admin_url, inner)


@pytest_asyncio.fixture
async def merchant(inventory: Inventory) -> Merchant:
    return inventory.merchant()
