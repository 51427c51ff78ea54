"""The load: what merchants, their channels and vandals do, and a journal of what they were answered."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aio_pika
import httpx
from rappit_demo.client import TIMEOUT_S, ApiError
from rappit_demo.merchant import Merchant
from rappit_demo.shipping_chapter import PARCEL
from rappit_doubles.channels.delivery import Sender
from rappit_doubles.channels.shopify import ShopifyShop
from rappit_doubles.channels.standard import StandardWebhooksSender
from rappit_doubles.channels.woo import WooStore

from rappit_faults.plan import API, PROVIDERS, Delivery, LabelWish, RawMessage, StockChange
from rappit_faults.stack import Playground

AT_ONCE = 12
GIVE_UP_S = 150
FIRST_PAUSE_S, MAX_PAUSE_S = 0.1, 2.0
ORDER_POLL_S = 0.3
RETRIED_STATUSES = frozenset({429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Accepted:
    """A 2xx: the promise that is checked."""

    delivery: Delivery
    at: datetime


@dataclass(slots=True)
class Placed:
    """A request of a program under one key, and the answers that its copies had."""

    delivery: Delivery
    answers: set[bytes] = field(default_factory=set[bytes])


@dataclass(slots=True)
class Bought:
    """What came of a wish for a label."""

    wish: LabelWish
    key: str
    order_id: str
    answers: list[str] = field(default_factory=list[str])
    shipment_ids: set[str] = field(default_factory=set[str])


@dataclass(slots=True)
class Journal:
    """What was sent to one merchant's addresses, and what was answered.

    Attributes:
        accepted: By the id in the answer.
        placed: Requests of ``POST /orders`` that were answered with success, by their key.
        raw: Confirmed by the broker, by message id.
        refused: Answers that no fault excuses.
        given_up: What nobody took within the time.
    """

    accepted: dict[str, Accepted] = field(default_factory=dict[str, Accepted])
    placed: dict[str, Placed] = field(default_factory=dict[str, Placed])
    raw: dict[str, RawMessage] = field(default_factory=dict[str, RawMessage])
    bought: list[Bought] = field(default_factory=list[Bought])
    counts: Counter[str] = field(default_factory=Counter[str])
    refused: list[str] = field(default_factory=list[str])
    given_up: list[str] = field(default_factory=list[str])


class Load:
    """Acts for one merchant.

    Args:
        playground: Where.
        merchant: For whom.
        rng: For pauses.
    """

    def __init__(self, playground: Playground, merchant: Merchant, rng: random.Random) -> None:
        self._playground = playground
        self.merchant = merchant
        self.journal = Journal()
        self._rng = rng
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._client = httpx.AsyncClient(limits=httpx.Limits(max_connections=64))
        urls = {name: merchant.channels[name]["webhook_url"] for name in PROVIDERS}
        secrets, shared = merchant.secrets, {"client": self._client}
        self._senders: dict[str, Any] = {
            "shopify": ShopifyShop(urls["shopify"], secrets["shopify"], f"{merchant.slug}.myshopify.com", **shared),
            "woocommerce": WooStore(urls["woocommerce"], secrets["woocommerce"], **shared),
            "standard_webhooks": StandardWebhooksSender(
                urls["standard_webhooks"], secrets["standard_webhooks"], **shared
            ),
        }
        for sender in self._senders.values():
            # As patient as the strictest channel.
            sender.timeout_s = ShopifyShop.timeout_s

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def send(self, delivery: Delivery) -> None:
        """Send every copy of a delivery, each again until it is accepted, as a channel that never gives up."""
        if delivery.at_once:
            await asyncio.gather(*(self._send_one(delivery) for _ in range(delivery.copies)))
            return
        for _ in range(delivery.copies):
            await self._send_one(delivery)

    async def send_once(self, delivery: Delivery) -> None:
        """Send one copy."""
        await self._send_one(delivery)

    async def _send_one(self, delivery: Delivery) -> None:
        if delivery.provider == API:
            await self._place(delivery)
            return

        async def attempt() -> bool:
            sender: Sender = self._senders[delivery.provider]
            self.journal.counts["webhooks sent"] += 1
            async with self._gate:
                if isinstance(sender, WooStore):
                    # At the last moment: it is disabled by others' failures too.
                    sender.enable()
                [answer] = await sender.deliver(delivery.topic, delivery.body, webhook_id=delivery.webhook_id)
            if answer.is_success:
                self.journal.accepted[answer.json()["id"]] = Accepted(delivery, datetime.now(UTC))
                self.journal.counts["webhooks accepted"] += 1
                return True
            return self._may_be_excused(answer, str(delivery))

        await self._until_done(attempt, str(delivery))

    async def _place(self, delivery: Delivery) -> None:
        async def attempt() -> bool:
            headers = {"Idempotency-Key": delivery.webhook_id, "Content-Type": "application/json"}
            self.journal.counts["orders asked for by the API"] += 1
            async with self._gate:
                answer = await self.merchant.api.http.post("/orders", content=delivery.body, headers=headers)
            if answer.is_success:
                placed = self.journal.placed.setdefault(delivery.webhook_id, Placed(delivery))
                placed.answers.add(answer.content)
                self.journal.counts["orders answered by the API"] += 1
                return True
            # Shuffled, an order may be there by its own update before it is placed: that was said, and is done with.
            return _code(answer) == "order_exists" or self._may_be_excused(answer, str(delivery))

        await self._until_done(attempt, str(delivery))

    async def publish_raw(self, raw: RawMessage) -> None:
        """Put a message straight into a queue, until the broker confirms that it has it."""

        async def attempt() -> bool:
            async with await self._playground.broker() as connection:
                channel = await connection.channel(on_return_raises=True)
                message = aio_pika.Message(
                    raw.body, headers=raw.headers, message_id=raw.message_id, delivery_mode=2, type="vandalism"
                )
                await channel.default_exchange.publish(message, raw.queue, timeout=5)
            self.journal.raw[raw.message_id] = raw
            return True

        await self._until_done(attempt, f"raw message {raw.number} to {raw.queue}")

    async def change_stock(self, change: StockChange) -> None:
        """Import a level or adjust one, as often as it takes until it is answered."""

        async def attempt() -> bool:
            http = self.merchant.api.http
            if change.by_file:
                csv = f"sku,quantity,warehouse_code\r\n{change.sku},{change.units},{change.warehouse_code}\r\n"
                answer = await http.post("/inventory/bulk", content=csv, headers={"Content-Type": "text/csv"})
            else:
                body = {"sku": change.sku, "warehouse_code": change.warehouse_code, "delta": change.units}
                answer = await http.post("/inventory/adjustments", json={**body, "reason": "arrived"})
            self.journal.counts["stock changes"] += answer.is_success
            return answer.is_success or self._may_be_excused(answer, str(change))

        await self._until_done(attempt, str(change))

    async def buy(self, wish: LabelWish) -> None:
        """Wait for an order, buy its label twice at once under one key, and give it back if that is wished."""
        order_id = await self._order_ready(wish)
        if order_id is None:
            return
        bought = Bought(wish, f"label-{wish.number}-{order_id}", order_id)
        self.journal.bought.append(bought)
        await asyncio.gather(self._buy_one(bought), self._buy_one(bought))
        if wish.voided:
            for shipment_id in bought.shipment_ids:
                await self._void(bought, shipment_id)

    async def _order_ready(self, wish: LabelWish) -> str | None:
        found: list[str] = []

        async def attempt() -> bool:
            order = await self.merchant.find_order(wish.provider, wish.external_order_id)
            if order is not None and order["state"] == "reserved":
                found.append(order["id"])
                return True
            await asyncio.sleep(ORDER_POLL_S)
            return False

        await self._until_done(attempt, f"order {wish.external_order_id} to be reserved for its label")
        return found[0] if found else None

    async def _buy_one(self, bought: Bought) -> None:
        body = {
            "order_id": bought.order_id,
            "carrier_account_id": self.merchant.carrier_accounts[bought.wish.carrier],
            "label_format": "pdf",
            "parcels": [PARCEL],
        }

        async def attempt() -> bool:
            answer = await self.merchant.api.http.post(
                "/shipping/shipments", json=body, headers={"Idempotency-Key": bought.key}
            )
            bought.answers.append(f"{answer.status_code} {_code(answer)}".strip())
            if answer.is_success:
                bought.shipment_ids.add(answer.json()["id"])
                self.journal.counts["labels answered"] += 1
                return answer.status_code != 202
            # Shipping may not have heard of the order yet; anything else is a merchant's to see.
            return (
                answer.status_code not in RETRIED_STATUSES
                and _code(answer) != "order_unknown"
                and (_code(answer) != "order_not_shippable")
            )

        await self._until_done(attempt, f"label for order {bought.wish.external_order_id}")

    async def _void(self, bought: Bought, shipment_id: str) -> None:
        async def attempt() -> bool:
            answer = await self.merchant.api.http.post(f"/shipping/shipments/{shipment_id}/void")
            bought.answers.append(f"void {answer.status_code} {_code(answer)}".strip())
            self.journal.counts["labels voided"] += answer.is_success
            return answer.status_code not in RETRIED_STATUSES

        await self._until_done(attempt, f"void of shipment {shipment_id}")

    def _may_be_excused(self, answer: httpx.Response, what: str) -> bool:
        """Return False to try again; what no outage explains is written down, and is done with."""
        self.journal.counts[f"answered {answer.status_code}"] += 1
        if answer.status_code in RETRIED_STATUSES:
            return False
        self.journal.refused.append(f"{what}: {answer.status_code} {answer.text[:200]}")
        return True

    async def _until_done(self, attempt: Callable[[], Awaitable[bool]], what: str) -> None:
        deadline = asyncio.get_running_loop().time() + GIVE_UP_S
        for number in itertools.count():
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    if await attempt():
                        return
            except (httpx.TransportError, ApiError, OSError, TimeoutError, aio_pika.exceptions.AMQPError) as error:
                self.journal.counts[f"failed by {type(error).__name__}"] += 1
            if asyncio.get_running_loop().time() > deadline:
                self.journal.given_up.append(what)
                return
            pause_s = min(MAX_PAUSE_S, FIRST_PAUSE_S * 2**number)
            await asyncio.sleep(pause_s * self._rng.uniform(0.5, 1))


def _code(answer: httpx.Response) -> str:
    try:
        return str(answer.json().get("code", "")) if not answer.is_success else ""
    except ValueError:
        return ""
