"""What the gateway's tests share."""

import asyncio
import base64
import hashlib
import hmac
import json
import random
import urllib.parse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import aio_pika
import httpx
from asgi_lifespan import LifespanManager
from rappit_common.clock import new_id, utc_now
from rappit_common.messaging.events import EVENTS_EXCHANGE
from rappit_common.testing.plugin import stateful_settings
from rappit_common.testing.servers import Sandbox
from rappit_common.testing.waiting import eventually
from rappit_common.web.auth import Principal, Role, Tokens
from rappit_gateway.api import make_service
from rappit_gateway.messages import WEBHOOK_RECEIVED
from rappit_gateway.settings import GatewaySettings

SHOP = "rappit-demo.myshopify.com"
SHOPIFY_SECRET = "shpss_0123456789abcdef0123456789abcdef"
ENCRYPTION_KEY = base64.urlsafe_b64encode(bytes(range(32))).decode()


def hmac_base64(secret: str, body: bytes) -> str:
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


def shopify_headers(secret: str, body: bytes, **others: str) -> dict[str, str]:
    return {
        "content-type": "application/json",
        "x-shopify-topic": "orders/create",
        "x-shopify-hmac-sha256": hmac_base64(secret, body),
        "x-shopify-shop-domain": SHOP,
        "x-shopify-webhook-id": str(new_id()),
        **{name.replace("_", "-"): value for name, value in others.items()},
    }


@dataclass
class Gateway:
    """A gateway running whole in this process, and its owner's token."""

    http: httpx.AsyncClient
    tokens: Tokens
    settings: GatewaySettings
    endpoint: Any = None
    organization_id: UUID = field(default_factory=new_id)

    def operator(self) -> dict[str, str]:
        principal = Principal(new_id(), None, Role.OPERATOR, "operator@example.com")
        token = self.tokens.issue(principal, now=utc_now(), lifetime=timedelta(minutes=5))
        return {"Authorization": f"Bearer {token}"}

    def owner(self, organization_id: UUID | None = None, role: Role = Role.STAFF) -> dict[str, str]:
        principal = Principal(new_id(), organization_id or self.organization_id, role, "tester@example.com")
        token = self.tokens.issue(principal, now=utc_now(), lifetime=timedelta(minutes=5))
        return {"Authorization": f"Bearer {token}"}

    async def connect(self, organization_id: UUID | None = None, **body: Any) -> dict[str, Any]:
        given = {"provider": "shopify", "name": "Shop", "secret": SHOPIFY_SECRET, "shop_domain": SHOP, **body}
        chosen = {name: value for name, value in given.items() if value is not None}
        answer = await self.http.post("/channels", json=chosen, headers=self.owner(organization_id or new_id()))
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def deliver(self, channel: dict[str, Any], body: bytes, headers: dict[str, str] | None = None):
        given = shopify_headers(SHOPIFY_SECRET, body) if headers is None else headers
        return await self.http.post(f"/webhooks/{channel['id']}", content=body, headers=given)


@dataclass
class Merchant:
    """A channel, and its owner reading the log of what it delivered."""

    gateway: Gateway
    channel: dict[str, Any]
    organization_id: UUID

    async def deliver(self, **fields: Any) -> str:
        """Deliver a webhook. Returns its id."""
        answer = await self.gateway.deliver(self.channel, order_body(**fields))
        assert answer.status_code == 200, answer.text
        return answer.json()["id"]

    async def forge(self) -> httpx.Response:
        return await self.gateway.deliver(self.channel, b"{}", shopify_headers("another-secret-0123456789", b"{}"))

    async def ask(self, method: str, path: str = "", *, role: Role = Role.STAFF, **given: Any) -> httpx.Response:
        headers = self.gateway.owner(self.organization_id, role)
        return await self.gateway.http.request(method, f"/channels/deliveries{path}", headers=headers, **given)

    async def listed(self, **parameters: Any) -> list[dict[str, Any]]:
        answer = await self.ask("GET", role=Role.VIEWER, params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()["items"]

    async def shown(self, delivery_id: str, **wanted: Any) -> dict[str, Any]:
        """Return a delivery once the log has it, and it is as wanted."""

        async def there() -> dict[str, Any] | None:
            answer = await self.ask("GET", f"/{delivery_id}", role=Role.VIEWER)
            found = answer.json()
            return found if answer.status_code == 200 and wanted.items() <= found.items() else None

        return await eventually(there, what=f"delivery {delivery_id} with {wanted}")

    async def settle(self, message_id: str, outcome: str, **changes: Any) -> None:
        """Say what orders says when a delivery is settled."""
        body = {
            "organization_id": str(self.organization_id),
            "channel_id": self.channel["id"],
            "message_id": message_id,
            "provider": "shopify",
            "topic": "orders/create",
            "delivery_id": "d-1",
            "received_at": utc_now().isoformat(),
            "outcome": outcome,
            "order_id": None,
            "external_order_id": None,
            "error_type": None,
            "error_message": None,
            "note": None,
            "settled_at": utc_now().isoformat(),
            **changes,
        }
        connection = await aio_pika.connect(self.gateway.settings.rabbitmq_url.get_secret_value())
        async with connection, connection.channel() as channel:
            exchange = await channel.get_exchange(EVENTS_EXCHANGE)
            message = aio_pika.Message(json.dumps(body).encode(), message_id=str(new_id()), delivery_mode=2)
            await exchange.publish(message, routing_key="orders.delivery-settled.v1")


async def merchant_of(gateway: Gateway) -> Merchant:
    organization_id = new_id()
    return Merchant(gateway, await gateway.connect(organization_id), organization_id)


def random_client() -> tuple[str, int]:
    """An address of this test's own: the limit of unverified requests is counted in a Redis that others share."""
    return f"10.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(256)}", 40_000


@asynccontextmanager
async def running_gateway(settings: GatewaySettings, *, role: str = "serve", until_ready: bool = True):
    app = make_service().create(settings, role)
    async with (
        LifespanManager(app, startup_timeout=15, shutdown_timeout=15) as manager,
        httpx.AsyncClient(
            transport=httpx.ASGITransport(manager.app, client=random_client()), base_url="http://gateway"
        ) as http,
    ):
        if until_ready:
            runtime = app._app._app._app.state.runtime
            await runtime.publisher.wait_connected(10)
        yield Gateway(http, Tokens(settings.jwt_secret), settings, app)


async def gateway_settings(sandbox: Sandbox, **values: object) -> GatewaySettings:
    given = {"encryption_key": ENCRYPTION_KEY, "public_base_url": "http://ingress.test/", **values}
    settings = await stateful_settings(sandbox, GatewaySettings, "rappit_gateway", "gateway", **given)
    assert isinstance(settings, GatewaySettings)
    return settings


@dataclass
class Received:
    """What a test's own queue got."""

    messages: list[aio_pika.abc.AbstractIncomingMessage] = field(default_factory=list)

    async def having(self, message_id: str) -> aio_pika.abc.AbstractIncomingMessage:
        async def found():
            return next((message for message in self.messages if message.message_id == message_id), None)

        return await eventually(found, within_s=20, what=f"message {message_id}")

    def count(self, message_id: str) -> int:
        return sum(message.message_id == message_id for message in self.messages)


@asynccontextmanager
async def bound_queue(url: str) -> AsyncIterator[Received]:
    received = Received()
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange(EVENTS_EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
        queue = await channel.declare_queue(f"test.{new_id()}", exclusive=True)
        await queue.bind(exchange, WEBHOOK_RECEIVED)

        async def keep(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            received.messages.append(message)

        await queue.consume(keep, no_ack=True)
        yield received


class Link:
    """A TCP connection's path to a server, which a test can cut and mend."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self._hears = asyncio.Event()
        self._hears.set()

    def go_deaf(self) -> None:
        """Keep connections open and carry nothing over them."""
        self._hears.clear()

    def hear_again(self) -> None:
        self._hears.set()

    def leave_deaf(self) -> None:
        """Let the connections of now stay deaf for ever, as when a machine vanished; new ones hear."""
        self._hears = asyncio.Event()
        self._hears.set()

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._join, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()
        for task in self._tasks:
            # The deaf ones would not notice.
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, far_writer}
        self._writers |= pair
        for source, target in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._pump(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hears = self._hears
        try:
            while data := await reader.read(65_536):
                await hears.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()


async def linked(url: str) -> tuple[Link, str]:
    """A link to a server, and the URL that leads over it."""
    parts = urllib.parse.urlsplit(url)
    link = Link(parts.hostname or "", parts.port or 0)
    await link.mend()
    user, at, _ = parts.netloc.rpartition("@")
    return link, urllib.parse.urlunsplit(parts._replace(netloc=f"{user}{at}127.0.0.1:{link.port}"))


def order_body(**fields: Any) -> bytes:
    return json.dumps({"id": random.randrange(10**12), "name": "#1", "note": "Grüße ✓", **fields}).encode()
