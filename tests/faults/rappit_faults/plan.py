"""What a seed stands for: goods, orders, every delivery with its copies, poison, stock, labels, and the faults.

Everything random is decided here, before anything runs, so that a seed replays a run: the same bytes under the same
ids, sent in the same order beside the same faults. (What the machine makes of it meanwhile is its own affair.)
"""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import httpx
from rappit_demo.merchant import WAREHOUSES
from rappit_doubles.channels.shopify import ShopifyOrder, ShopifyShop
from rappit_doubles.channels.shopify_payload import shopify_json
from rappit_doubles.channels.standard import StandardOrder, StandardWebhooksSender
from rappit_doubles.channels.woo import WooOrder, WooStore, woo_json

from rappit_faults.killpoints import POINTS
from rappit_faults.proxy import Trouble

PROVIDERS = ("shopify", "woocommerce", "standard_webhooks")
API = "api"
"""Not a channel: a merchant's program that asks ``POST /orders``, under a key that it repeats."""
AMPLE = tuple(f"AMPLE-{number:02}" for number in range(1, 13))
"""Enough of each for everybody: what becomes of an order of these does not depend on who came first."""
SCARCE = tuple(f"SCARCE-{number:02}" for number in range(1, 5))
"""Fewer than are wanted."""
AMPLE_UNITS, SCARCE_UNITS, ARRIVING_UNITS = 5_000, 6, 3
UNKNOWN_SKU = "NO-SUCH-SKU"
POISON_SHARE = 0.1
AT_ONCE_SHARE = 0.1
SCARCE_SHARE = 0.2
CANCELLED_SHARE = 0.2
LABELLED_SHARE = 0.15
MAX_COPIES = 3
BEGINNING = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
PLACEHOLDER_SECRET = "whsec_" + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"

_CREATED = {"shopify": "orders/create", "woocommerce": "order.created", "standard_webhooks": "order.created"}

SERVICES = ("identity", "webhook-gateway", "orders", "inventory", "shipping")
SERVERS = ("rabbitmq", "postgres", "redis")
CARRIERS = ("fedex", "dhl")


class Expected(StrEnum):
    """What must become of a delivery that was accepted."""

    TAKEN = "taken"
    """Applied, superseded, or found to be a repetition."""
    DEAD = "dead"
    """Poison: among the dead letters, with a reason."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook, or one request of a program: the same bytes under the same id or key in every copy."""

    number: int
    provider: str
    topic: str
    webhook_id: str
    body: bytes
    external_order_id: str | None
    copies: int
    at_once: bool
    expected: Expected

    def __str__(self) -> str:
        times = f"{self.copies} at once" if self.at_once else f"{self.copies} times"
        about = f"order {self.external_order_id}" if self.external_order_id else "no order"
        return f"delivery {self.number} ({self.provider} {self.topic or 'without a topic'}, {about}, sent {times})"


@dataclass(frozen=True, slots=True)
class RawMessage:
    """A message that no service of ours would publish, straight to a queue."""

    number: int
    queue: str
    message_id: str
    body: bytes
    headers: dict[str, Any]


@dataclass(frozen=True, slots=True)
class StockChange:
    """Units that arrive: by a file that sets a level, or by hand."""

    number: int
    sku: str
    warehouse_code: str
    units: int
    by_file: bool


@dataclass(frozen=True, slots=True)
class LabelWish:
    """A label for an order, bought twice at once under one key, and given back or not."""

    number: int
    provider: str
    external_order_id: str
    carrier: str
    voided: bool


class FaultKind(StrEnum):
    """What is done to the stack."""

    KILL_SERVICE = "kill"
    KILL_POINT = "kill point"
    SERVER = "server"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that breaks, and for how long."""

    kind: FaultKind
    service: str = ""
    server: str = ""
    point: str = ""
    let_by: int = 0
    trouble: Trouble | None = None
    hold_s: float = 0.0

    def __str__(self) -> str:
        match self.kind:
            case FaultKind.KILL_SERVICE:
                return f"kill -9 {self.service}"
            case FaultKind.KILL_POINT:
                return f"{self.service} dies {self.point.replace('_', ' ')} (passage {self.let_by + 1})"
            case FaultKind.SERVER:
                return f"kill -9 {self.server}, back after {self.hold_s:.1f} s"
            case FaultKind.LINK:
                return f"{self.trouble} {self.service}-{self.server} for {self.hold_s:.1f} s"


@dataclass(frozen=True, slots=True)
class Step:
    """A piece of the load, and the faults that meet it one after the other."""

    deliveries: Sequence[Delivery]
    raw: Sequence[RawMessage]
    stock: Sequence[StockChange]
    faults: Sequence[Fault]


@dataclass(frozen=True, slots=True)
class Size:
    """How much a round does."""

    orders: int
    placed: int
    steps: int
    max_hold_s: float


SHORT = Size(orders=36, placed=6, steps=7, max_hold_s=1.5)
LONG = Size(orders=150, placed=30, steps=16, max_hold_s=6.0)


@dataclass(frozen=True, slots=True)
class Plan:
    """One round.

    Attributes:
        ordered: Each delivery once, those of an order in the channel's own order: what the twin is told.
        steps: The same deliveries with their copies, fully shuffled, beside the faults.
        scarce_orders: Those that want something scarce, as (provider, external id).
    """

    seed: int
    ordered: Sequence[Delivery]
    steps: Sequence[Step]
    labels: Sequence[LabelWish]
    scarce_orders: frozenset[tuple[str, str]]

    @property
    def orders(self) -> frozenset[tuple[str, str]]:
        """Every order that somebody told of, as (provider, external id)."""
        return frozenset(
            (d.provider, d.external_order_id) for d in self.ordered if d.external_order_id and d.expected == "taken"
        )

    def lines(self) -> list[str]:
        """Return the plan for a person, a line a step."""
        sent = sum(delivery.copies for delivery in self.ordered)
        size = f"{len(self.orders)} orders, {len(self.ordered)} deliveries sent {sent} times, {len(self.labels)} labels"
        told = [f"seed {self.seed}: {size}, {len(self.steps)} steps"]
        for number, step in enumerate(self.steps, start=1):
            faults = "; ".join(str(fault) for fault in step.faults)
            told.append(
                f"  step {number}: {len(step.deliveries)} deliveries, {len(step.raw)} raw messages, "
                f"{len(step.stock)} stock changes; {faults}"
            )
        return told


def make_plan(seed: int, size: Size) -> Plan:
    """Return the round that a seed stands for."""
    rng = random.Random(seed)
    writer = Writer(rng)
    orders = [writer.write_order(PROVIDERS[number % len(PROVIDERS)]) for number in range(size.orders)]
    orders += [writer.write_order(API) for _ in range(size.placed)]
    lives = [deliveries for deliveries, _ in orders]
    poison = [[writer.write_poison(rng.choice(PROVIDERS))] for _ in range(_share(size.orders * 2, POISON_SHARE))]
    ordered = [delivery for life in [*lives, *poison] for delivery in life]
    shuffled = list(ordered)
    rng.shuffle(shuffled)
    faults = _faults(rng, size)
    steps = [
        Step(
            shuffled[position :: size.steps],
            [writer.write_raw() for _ in range(rng.randint(0, 2))],
            [writer.write_stock_change() for _ in range(rng.randint(1, 2))],
            faults[position],
        )
        for position in range(size.steps)
    ]
    scarce = frozenset(
        (life[0].provider, str(life[0].external_order_id)) for life, wants in orders if wants == "scarce"
    )
    labelled = [life[0] for life, wants in orders if wants == "label"]
    labels = [
        LabelWish(number, first.provider, str(first.external_order_id), CARRIERS[number % 2], voided=number % 3 == 0)
        for number, first in enumerate(labelled)
    ]
    return Plan(seed, ordered, steps, labels, scarce)


def _share(count: int, share: float) -> int:
    return max(1, round(count * share))


class Writer:
    """Writes what channels would send, as their doubles do, on a clock of its own.

    Args:
        rng: Decides what they send.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._numbers = 0
        self._now = BEGINNING
        # Never used: the doubles' shops want one, and what they write is sent by others.
        client = httpx.AsyncClient()
        told: dict[str, Any] = {"clock": lambda: self._now, "rng": rng, "client": client}
        self._shopify = ShopifyShop("http://nowhere.invalid", PLACEHOLDER_SECRET, **told)
        self._woo = WooStore("http://nowhere.invalid", PLACEHOLDER_SECRET, **told)
        self._standard = StandardWebhooksSender("http://nowhere.invalid", PLACEHOLDER_SECRET, **told)

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def write_order(self, provider: str) -> tuple[list[Delivery], str]:
        """Return an order's deliveries in the channel's order, and what is special about it: scarce, label or ""."""
        rng = self._rng
        wants = rng.choices(["scarce", "label", ""], [SCARCE_SHARE, LABELLED_SHARE, 1 - SCARCE_SHARE - LABELLED_SHARE])[
            0
        ]
        skus = rng.sample(AMPLE, rng.randint(1, 3)) + ([rng.choice(SCARCE)] if wants == "scarce" else [])
        lines = [(sku, rng.randint(1, 3), f"{rng.randint(5, 90)}.00") for sku in skus]
        order = self._shop(provider).create_order(lines)
        self._pass_time()
        life = [self._deliver(provider, order)]
        if wants == "label":
            # Its parcel is packed as it was ordered: what a change under a label does is another test's subject.
            return life, wants
        for _ in range(rng.randint(0, 2)):
            order.edit({rng.choice(skus): rng.randint(1, 4)})
            self._pass_time()
            life.append(self._deliver(provider, order))
        if rng.random() < CANCELLED_SHARE:
            order.cancel()
            self._pass_time()
            life.append(self._deliver(provider, order))
        return life, wants

    def _pass_time(self) -> None:
        self._now += timedelta(seconds=self._rng.randint(5, 600))

    def _deliver(self, provider: str, order: ShopifyOrder | WooOrder | StandardOrder) -> Delivery:
        return self._delivery(provider, order.topic, _written(provider, order.payload()), str(order.id))

    def _delivery(
        self,
        provider: str,
        topic: str,
        body: bytes,
        external_order_id: str | None,
        expected: Expected = Expected.TAKEN,
    ) -> Delivery:
        rng = self._rng
        at_once = rng.random() < AT_ONCE_SHARE
        copies = rng.randint(2, MAX_COPIES) if at_once else rng.randint(1, MAX_COPIES)
        webhook_id = f"msg_{rng.randbytes(10).hex()}"
        return Delivery(self._number(), provider, topic, webhook_id, body, external_order_id, copies, at_once, expected)

    def write_simple_order(self, provider: str, sku: str, units: int) -> Delivery:
        """Return the first word of an order of one line, to be sent once."""
        shop = self._shop(provider)
        self._pass_time()
        delivery = self._deliver(provider, shop.create_order([(sku, units, "10.00")]))
        return replace(delivery, copies=1, at_once=False)

    def write_unreadable(self, provider: str) -> Delivery:
        """Return a signed webhook that is not JSON, to be sent once."""
        poison = self._poison(provider, _CREATED[provider], b"{not json " + self._rng.randbytes(4).hex().encode())
        return replace(poison, copies=1, at_once=False)

    def _shop(self, provider: str) -> Any:
        # A program says what a Standard Webhook would say.
        return {"shopify": self._shopify, "woocommerce": self._woo}.get(provider, self._standard)

    def write_poison(self, provider: str) -> Delivery:
        """Return a signed webhook that cannot be what its topic says, or one for goods that nobody knows."""
        kinds: tuple[Callable[[], Delivery], ...] = (
            lambda: self._poison(provider, _CREATED[provider], b"{not json " + self._rng.randbytes(4).hex().encode()),
            lambda: self._poison(provider, _CREATED[provider], self._wrong_types(provider)),
            lambda: self._poison(provider, _CREATED[provider], self._rng.randbytes(64)),
            lambda: self._unknown_goods(provider),
        )
        return self._rng.choice(kinds)()

    def _poison(self, provider: str, topic: str, body: bytes) -> Delivery:
        return self._delivery(provider, topic, body, None, Expected.DEAD)

    def _wrong_types(self, provider: str) -> bytes:
        body = {"id": self._rng.randrange(10**9), "line_items": "none", "status": 7, "currency": ["EUR"]}
        return _written(provider, {"type": "order.created", "data": "an order"} if provider.startswith("st") else body)

    def _unknown_goods(self, provider: str) -> Delivery:
        self._pass_time()
        return self._deliver(provider, self._shop(provider).create_order([(UNKNOWN_SKU, 1, "1.00")]))

    def write_raw(self) -> RawMessage:
        """Return a message whose headers or body no reader can make sense of."""
        rng, number = self._rng, self._number()
        queue, body, headers = rng.choice(
            [
                ("orders.accept-webhook", b"{}", {"rappit-channel-id": "not an id", "rappit-attempt": "many"}),
                ("orders.accept-webhook", rng.randbytes(32), {}),
                ("inventory.reserve-on-order-changed", b"{", {"rappit-organization-id": "nobody"}),
                ("shipping.follow-orders", b'{"order_id": 7}', {"traceparent": "00-nothing"}),
                ("orders.apply-reservation", rng.randbytes(16), {"rappit-attempt": -3}),
            ]
        )
        return RawMessage(number, queue, f"raw-{rng.randbytes(8).hex()}", body, headers)

    def write_stock_change(self) -> StockChange:
        """Return units that arrive."""
        rng = self._rng
        by_file = rng.random() < 0.5
        sku = rng.choice(SCARCE if not by_file else AMPLE)
        units = AMPLE_UNITS + rng.randint(0, 50) if by_file else rng.randint(1, ARRIVING_UNITS)
        return StockChange(self._number(), sku, rng.choice(WAREHOUSES)[0], units, by_file)


def _written(provider: str, payload: Any) -> bytes:
    if provider == "shopify":
        return shopify_json(payload)
    if provider == "woocommerce":
        return woo_json(payload)
    return json.dumps(payload, ensure_ascii=False).encode()


def _faults(rng: random.Random, size: Size) -> list[list[Fault]]:
    """Return each step's faults: every server, link trouble and kind of death has its turn before one comes again."""
    deck = _Deck(rng, size.max_hold_s)
    return [deck.deal(step) for step in range(size.steps)]


class _Deck:
    def __init__(self, rng: random.Random, max_hold_s: float) -> None:
        self._rng = rng
        self._max_hold_s = max_hold_s
        self._piles: dict[str, list[Any]] = {}

    def _draw(self, pile: str, cards: Sequence[Any]) -> Any:
        left = self._piles.setdefault(pile, [])
        if not left:
            left += cards
            self._rng.shuffle(left)
        return left.pop()

    def _hold_s(self) -> float:
        return round(self._rng.uniform(0.3, self._max_hold_s), 1)

    def deal(self, step: int) -> list[Fault]:
        """Return one step's faults: a death at a kill point, and one thing that is done from outside."""
        points = [
            (service, point)
            for service in SERVICES
            for point in POINTS
            # Identity neither publishes nor consumes, and the gateway only publishes.
            if service not in {"identity", "webhook-gateway"} or (service != "identity" and "ack" not in point)
        ]
        service, point = self._draw("points", points)
        dealt = [Fault(FaultKind.KILL_POINT, service, point=point, let_by=self._rng.randint(0, 6))]
        match step % 4:
            case 0:
                dealt.append(Fault(FaultKind.KILL_SERVICE, self._draw("services", SERVICES[1:])))
            case 2:
                trouble = self._draw("troubles", list(Trouble))
                link = (self._draw("linked", SERVICES[1:]), self._draw("ends", SERVERS[:2]))
                dealt.append(Fault(FaultKind.LINK, link[0], link[1], trouble=trouble, hold_s=self._hold_s()))
            case _:
                dealt.append(Fault(FaultKind.SERVER, server=self._draw("servers", SERVERS), hold_s=self._hold_s()))
        return dealt
