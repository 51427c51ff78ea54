import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import aio_pika
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
from rappit_orders.api import SERVICE
from rappit_orders.settings import OrdersSettings
from rappit_orders.unit import OrdersUnit

sys.path.insert(0, str(Path(__file__).parent / "support"))


@dataclass
class Orders:
    """The service, running whole in this process, and a queue of another service that hears its events."""

    settings: OrdersSettings
    http: httpx.AsyncClient
    tokens: Tokens
    runtime: Runtime[OrdersSettings, OrdersUnit]
    exchange: aio_pika.abc.AbstractExchange
    heard: list[dict[str, Any]] = field(default_factory=list)

    def headers(self, organization_id: UUID | None, role: Role = Role.STAFF) -> dict[str, str]:
        principal = Principal(new_id(), organization_id, role, "tester@example.com")
        token = self.tokens.issue(principal, now=utc_now(), lifetime=timedelta(minutes=5))
        return {"Authorization": f"Bearer {token}"}

    async def publish(self, event: str, body: bytes, *, message_id: str | None = None, **headers: str) -> None:
        message = aio_pika.Message(
            body,
            type=event,
            message_id=message_id or str(new_id()),
            content_type="application/octet-stream" if event.startswith("gateway.") else "application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            headers=dict(headers),
        )
        await self.exchange.publish(message, routing_key=event)

    def events(self, order_id: str) -> list[dict[str, Any]]:
        return [event for event in self.snapshots() if event["body"]["order_id"] == order_id]

    def snapshots(self) -> list[dict[str, Any]]:
        return [event for event in self.heard if event["event"] != "orders.delivery-settled.v1"]

    def settled(self, message_id: str) -> list[dict[str, Any]]:
        return [event["body"] for event in self.heard if event["body"].get("message_id") == message_id]


@dataclass
class Shop:
    """A channel of a merchant of its own; what it delivers goes the way the gateway's messages go."""

    orders: Orders
    provider: str = "shopify"
    organization_id: UUID = field(default_factory=new_id)
    channel_id: UUID = field(default_factory=new_id)

    def stranger(self, **more: Any) -> "Shop":
        """Return a shop of another merchant."""
        return Shop(self.orders, self.provider, **more)

    async def deliver(
        self, topic: str, body: Any, *, dedupe_key: str | None = None, message_id: str | None = None
    ) -> str:
        """Returns the message's id."""
        message_id = message_id or str(new_id())
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {
            "rappit-organization-id": str(self.organization_id),
            "rappit-channel-id": str(self.channel_id),
            "rappit-provider": self.provider,
            "rappit-topic": topic,
            "rappit-delivery-id": "d-1",
            "rappit-dedupe-key": dedupe_key or f"{self.provider}:{new_id()}",
            "rappit-source": "",
            "rappit-content-type": "application/json",
            "rappit-received-at": utc_now().isoformat(),
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        }
        await self.orders.publish("gateway.webhook-received.v1", raw, message_id=message_id, **headers)
        return message_id

    async def settled(self, message_id: str) -> dict[str, Any]:
        """Return what the gateway's log is told of a message, once it is."""

        async def told() -> dict[str, Any] | None:
            return next(iter(self.orders.settled(message_id)), None)

        return await eventually(told, what=f"the outcome of {message_id}")

    async def get(self, path: str, role: Role = Role.VIEWER, **params: Any) -> httpx.Response:
        return await self.orders.http.get(path, params=params, headers=self.orders.headers(self.organization_id, role))

    async def post(self, path: str, body: Any, role: Role = Role.STAFF) -> httpx.Response:
        return await self.orders.http.post(path, json=body, headers=self.orders.headers(self.organization_id, role))

    async def listed(self, **params: Any) -> list[dict[str, Any]]:
        answer = await self.get("/orders", **params)
        assert answer.status_code == 200, answer.text
        return answer.json()["items"]

    async def find(self, external_order_id: str) -> dict[str, Any] | None:
        rows = await self.listed(channel_id=str(self.channel_id), external_order_id=external_order_id)
        assert len(rows) <= 1
        return (await self.get(f"/orders/{rows[0]['id']}")).json() if rows else None

    async def order_when(self, external_order_id: Any, **wanted: Any) -> dict[str, Any]:
        async def there() -> dict[str, Any] | None:
            order = await self.find(str(external_order_id))
            if order is None:
                return None
            assert {name: order[name] for name in wanted} == wanted
            return order

        return await eventually(there, what=f"order {external_order_id} with {wanted}")

    async def event_when(self, order: dict[str, Any], state_version: int) -> dict[str, Any]:
        async def heard() -> dict[str, Any] | None:
            found = [e for e in self.orders.events(order["id"]) if e["body"]["state_version"] == state_version]
            return found[0] if found else None

        return await eventually(heard, what=f"snapshot {state_version} of {order['id']}")

    async def answer(self, order: dict[str, Any], version: int, status: str, **more: Any) -> None:
        """Be inventory."""
        body = {
            "organization_id": str(self.organization_id),
            "order_id": order["id"],
            "order_version": order["order_version"],
            "reservation_version": version,
            "status": status,
            "reason": None,
            "message": None,
            "allocations": [],
            "shortages": [],
            "unknown_skus": [],
            "occurred_at": utc_now().isoformat(),
            **more,
        }
        await self._say("inventory.reservation-changed.v1", body)

    async def ship(self, order: dict[str, Any], shipment_id: UUID, version: int, status: str) -> None:
        """Be shipping."""
        body = {
            "organization_id": str(self.organization_id),
            "shipment_id": str(shipment_id),
            "order_id": order["id"],
            "shipment_version": version,
            "status": status,
            "carrier": "fedex",
            "tracking_number": "794953555571",
            "warehouse_code": "BER",
            "lines": [],
            "cost": None,
            "occurred_at": utc_now().isoformat(),
        }
        await self._say("shipping.shipment-changed.v1", body)

    async def _say(self, event: str, body: dict[str, Any]) -> None:
        headers = {"rappit-organization-id": str(self.organization_id)}
        await self.orders.publish(event, json.dumps(body).encode(), **headers)

    async def dead_letters(self) -> list[dict[str, Any]]:
        headers = self.orders.headers(None, Role.OPERATOR)
        answer = await self.orders.http.get("/orders/ops/dead-letters", headers=headers)
        assert answer.status_code == 200, answer.text
        return [row for row in answer.json()["items"] if row["organization_id"] == str(self.organization_id)]

    async def dead_letter(self) -> dict[str, Any]:
        async def dead() -> dict[str, Any] | None:
            rows = await self.dead_letters()
            return rows[0] if rows else None

        return await eventually(dead, what="a dead letter")


@asynccontextmanager
async def _listening(sandbox: Sandbox, heard: list[dict[str, Any]]) -> AsyncIterator[aio_pika.abc.AbstractExchange]:
    connection = await aio_pika.connect(sandbox.rabbitmq_url)
    async with connection, connection.channel() as channel:
        exchange = await channel.declare_exchange(EVENTS_EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
        queue = await channel.declare_queue("orders-tests.listen", durable=True, arguments={"x-queue-type": "quorum"})
        await queue.bind(exchange, routing_key="orders.#")

        async def hear(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            async with message.process():
                heard.append({"event": message.routing_key, "body": json.loads(message.body)})

        await queue.consume(hear)
        yield exchange


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sandbox(servers: Servers) -> AsyncIterator[Sandbox]:
    """A broker of our own: these tests play queues that other services' tests declare for real."""
    async with opened_sandbox(servers, "orders") as made:
        yield made


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def orders(sandbox: Sandbox) -> AsyncIterator[Orders]:
    settings = await stateful_settings(sandbox, OrdersSettings, "rappit_orders", "orders")
    app = SERVICE.create(settings, "serve")
    heard: list[dict[str, Any]] = []
    async with (
        _listening(sandbox, heard) as exchange,
        LifespanManager(app, startup_timeout=15, shutdown_timeout=15) as manager,
        httpx.AsyncClient(transport=httpx.ASGITransport(manager.app), base_url="http://orders") as http,
    ):

        async def ready() -> bool:
            return (await http.get("/health/ready")).status_code == 200

        await eventually(ready, what="readiness", within_s=60)
        inner: Any = app
        while not hasattr(inner, "state"):
            inner = inner._app
        yield Orders(settings, http, Tokens(settings.jwt_secret), inner.state.runtime, exchange, heard)


@pytest_asyncio.fixture
async def shop(orders: Orders) -> Shop:
    return Shop(orders)
