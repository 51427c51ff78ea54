"""Rows 1 and 2: webhooks accepted by one gateway process, with the broker there and with the broker down.

The body is a Shopify order of about 6 KB. The broker's limit is aio-pika publishing the same bytes with the same
headers to the same quorum queue with 32 confirms in flight; the spool's is asyncpg inserting the same row, a
transaction each, over as many connections as the load has.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import random
import time
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any, Self

import aio_pika
import asyncpg
import httpx
from load import closed_loop, http_request, open_loop
from measuring import percentile
from pydantic import SecretStr
from rappit_common.clock import new_id, utc_now
from rappit_common.messaging.events import EVENTS_EXCHANGE
from rappit_common.web.auth import Principal, Role, Tokens
from rappit_gateway.messages import WEBHOOK_RECEIVED
from rappit_gateway.repository.spool import INSERT
from stand import Stand

IN_FLIGHT = 32
QUEUE = "bench.accept-webhook"
SHOP = "bench.myshopify.com"
SECRET = "shpss_0123456789abcdef0123456789abcdef"  # noqa: S105 - of a channel that lives for one run
CLOSED_PORT_URL = "amqp://guest:guest@127.0.0.1:1/"


def shopify_order(bytes_wanted: int = 6_000) -> bytes:
    """Return an order of about that many bytes, as Shopify spells one."""
    chosen = random.Random(7)
    lines: list[dict[str, Any]] = []
    order = {
        "id": 5_678_901_234_567,
        "name": "#1042",
        "currency": "EUR",
        "created_at": "2026-11-20T10:29:58+01:00",
        "updated_at": "2026-11-20T10:29:59+01:00",
        "financial_status": "paid",
        "total_price": "64.90",
        "shipping_address": {"name": "Ada Byron", "address1": "Hauptstr. 1", "city": "Berlin", "country_code": "DE"},
        "line_items": lines,
    }
    while len(json.dumps(order)) < bytes_wanted:
        lines.append(
            {
                "id": chosen.randrange(10**13),
                "variant_id": chosen.randrange(10**13),
                "sku": f"SKU-{chosen.randrange(10**5)}",
                "title": f"Thing {chosen.randrange(10**4)}",
                "quantity": 1,
                "current_quantity": 1,
                "fulfillable_quantity": 1,
                "price": "12.50",
                "requires_shipping": True,
                "gift_card": False,
            }
        )
    return json.dumps(order).encode()


BODY = shopify_order()


async def connect_channel(stand: Stand, port: int) -> str:
    """Connect a shop through the API. Returns the path of its webhooks."""
    principal = Principal(new_id(), new_id(), Role.STAFF, "bench")
    token = Tokens(SecretStr(stand.jwt_secret)).issue(principal, now=utc_now(), lifetime=timedelta(minutes=5))
    body = {"provider": "shopify", "name": "Bench", "secret": SECRET, "shop_domain": SHOP}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        answer = await client.post("/channels", json=body, headers={"Authorization": f"Bearer {token}"})
        answer.raise_for_status()
        return f"/webhooks/{answer.json()['id']}"


def signed_request(path: str) -> bytes:
    signature = base64.b64encode(hmac.digest(SECRET.encode(), BODY, hashlib.sha256)).decode()
    headers = {
        "content-type": "application/json",
        "user-agent": "Shopify-Captain-Hook",
        "x-shopify-topic": "orders/create",
        "x-shopify-hmac-sha256": signature,
        "x-shopify-shop-domain": SHOP,
        "x-shopify-api-version": "2026-10",
        "x-shopify-webhook-id": str(new_id()),
        "x-shopify-event-id": str(new_id()),
    }
    return http_request("127.0.0.1", path, headers, BODY)


def message_headers() -> dict[str, str]:
    return {
        "rappit-organization-id": str(new_id()),
        "rappit-channel-id": str(new_id()),
        "rappit-provider": "shopify",
        "rappit-topic": "orders/create",
        "rappit-delivery-id": str(new_id()),
        "rappit-dedupe-key": f"shopify:{new_id()}",
        "rappit-source": SHOP,
        "rappit-content-type": "application/json",
        "rappit-received-at": utc_now().isoformat(),
        "traceparent": f"00-{'a' * 32}-{'b' * 16}-01",
    }


class _Gateway:
    """A gateway process with one channel."""

    def __init__(self, stand: Stand, **environment: str) -> None:
        self.stand = stand
        self._environment = environment
        self._stack = AsyncExitStack()
        self.port = 0
        self._request = b""

    async def start(self) -> None:
        quota = str(10**6)  # beyond what one process could ever take in, or the quota would be measured
        environment = {"CHANNEL_QUOTA_PER_MINUTE": quota, **self._environment}
        role = self.stand.service("rappit_gateway", "gateway", "api", **environment)
        self.port = await self._stack.enter_async_context(role)
        self._request = signed_request(await connect_channel(self.stand, self.port))

    async def stop(self) -> None:
        await self._stack.aclose()

    async def rate(self, seconds: float) -> float:
        make = lambda: self._request  # noqa: E731 - the client asks for each request anew
        return await closed_loop("127.0.0.1", self.port, make, connections=IN_FLIGHT, seconds=seconds)

    async def latencies_s(self, rate: float, seconds: float) -> list[float]:
        make = lambda: self._request  # noqa: E731 - as above
        return await open_loop("127.0.0.1", self.port, make, rate=rate, connections=2 * IN_FLIGHT, seconds=seconds)


class WebhooksAccepted:
    """Row 1."""

    title = "webhook accepted (6 KB, HMAC, durable 2xx), one gateway process"
    limit_title = f"aio-pika confirmed publishes of the same body, quorum queue, {IN_FLIGHT} in flight"
    goal = 0.6
    tail_goal = 3.0

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self._gateway = _Gateway(stand)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        connection = await aio_pika.connect(self._stand.sandbox.rabbitmq_url)
        await self._stack.enter_async_context(connection)
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        self._exchange = await channel.declare_exchange(EVENTS_EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
        self._queue = await channel.declare_queue(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        await self._queue.bind(self._exchange, WEBHOOK_RECEIVED)
        await self._gateway.start()
        self._stack.push_async_callback(self._gateway.stop)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def limit(self, seconds: float) -> float:
        """Confirmed publishes per second."""
        headers = message_headers()
        published = 0
        deadline = time.perf_counter() + seconds

        async def publish_on() -> None:
            nonlocal published
            while time.perf_counter() < deadline:
                message = aio_pika.Message(
                    BODY,
                    headers=dict(headers),
                    content_type="application/octet-stream",
                    delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                    message_id=str(new_id()),
                    type=WEBHOOK_RECEIVED,
                )
                await self._exchange.publish(message, WEBHOOK_RECEIVED, mandatory=True)
                published += 1

        started = time.perf_counter()
        await asyncio.gather(*(publish_on() for _ in range(IN_FLIGHT)))
        rate = published / (time.perf_counter() - started)
        await self._queue.purge()
        return rate

    async def measured(self, seconds: float) -> float:
        """Webhooks accepted per second."""
        rate = await self._gateway.rate(seconds)
        await self._queue.purge()
        return rate

    async def latencies_s(self, rate: float, seconds: float) -> list[float]:
        """Latencies at a steady rate."""
        latencies = await self._gateway.latencies_s(rate, seconds)
        await self._queue.purge()
        return latencies


class WebhooksSpooled:
    """Row 2."""

    title = "the same with the broker down (spool)"
    limit_title = f"asyncpg single inserts of the same row, {IN_FLIGHT} connections"
    goal = 0.5

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self._gateway = _Gateway(stand, RABBITMQ_URL=CLOSED_PORT_URL)
        self._stack = AsyncExitStack()
        self._connections: list[Any] = []

    async def __aenter__(self) -> Self:
        await self._gateway.start()
        self._stack.push_async_callback(self._gateway.stop)
        url = self._stand.sandbox.urls("gateway").runtime_url
        settings = {"search_path": "gateway"}
        for _ in range(IN_FLIGHT):
            connection = await asyncpg.connect(url, server_settings=settings)
            self._stack.push_async_callback(connection.close)
            self._connections.append(connection)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def _empty(self) -> None:
        owner = await asyncpg.connect(self._stand.sandbox.urls("gateway").owner_url)
        try:
            await owner.execute("TRUNCATE gateway.outbox")
        finally:
            await owner.close()

    async def limit(self, seconds: float) -> float:
        """Inserts per second, a transaction each."""
        headers = json.dumps(message_headers())
        organization_id = new_id()
        inserted = 0
        deadline = time.perf_counter() + seconds

        async def insert_on(connection: Any) -> None:
            nonlocal inserted
            while time.perf_counter() < deadline:
                row_id = new_id()
                await connection.execute(
                    INSERT,
                    row_id,
                    organization_id,
                    WEBHOOK_RECEIVED,
                    EVENTS_EXCHANGE,
                    str(row_id),
                    "application/octet-stream",
                    headers,
                    BODY,
                )
                inserted += 1

        started = time.perf_counter()
        await asyncio.gather(*(insert_on(connection) for connection in self._connections))
        rate = inserted / (time.perf_counter() - started)
        await self._empty()
        return rate

    async def measured(self, seconds: float) -> float:
        """Webhooks accepted per second."""
        rate = await self._gateway.rate(seconds)
        await self._empty()
        return rate


def tail_of(latencies_s: list[float]) -> tuple[float, float]:
    """Return p50 and p99 in milliseconds."""
    return percentile(latencies_s, 0.5) * 1000, percentile(latencies_s, 0.99) * 1000
