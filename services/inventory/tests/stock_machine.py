"""A model of stock that fits on a page, and the machine that does to it and to the real thing the same.

The model knows how much must lie where, who must have it and who must wait, first come, first served. It does not know
from which warehouse an order's units come, since that is a strategy: it asks the world, and holds it to what there is.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Protocol
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from rappit_common.errors import RappitError
from rappit_inventory.domain.imports import ImportMode
from rappit_inventory.domain.stock import StockState

SKUS, PLACES = ("A", "B"), ("BER", "LYS")
KEYS = [(sku, place) for sku in SKUS for place in PLACES]
PROMISED = timedelta(hours=24)
START = datetime(2026, 1, 1, tzinfo=UTC)
PARTS = ("total", "reserved", "damaged", "quarantined")

Key = tuple[str, str]
Units = dict[Key, int]
Wanted = dict[str, int]


@dataclass
class Has:
    """What an order has, by SKU and warehouse."""

    reserved: Units = field(default_factory=dict)
    committed: Units = field(default_factory=dict)
    returned: Units = field(default_factory=dict)


@dataclass
class Seen:
    """The world at one moment."""

    levels: dict[Key, tuple[int, int, int, int]]
    ledger: dict[Key, tuple[int, int, int, int]]
    statuses: dict[UUID, str]
    has: dict[UUID, Has]
    holds: dict[UUID, tuple[str, Units]]
    in_transit: Units


class World(Protocol):
    """What the machine does things to. Each refuses with a RappitError, and then has changed nothing."""

    def order(self, order_id: UUID, version: int, wanted: Wanted, now: datetime) -> None: ...
    def force_release(self, order_id: UUID, now: datetime) -> None: ...
    def resume(self, order_id: UUID, now: datetime) -> None: ...
    def adjust(self, key: Key, delta: int, now: datetime) -> None: ...
    def bring(self, rows: Units, mode: ImportMode, now: datetime) -> None:
        """Import a file that sets levels, or adds to them; rows that cannot be are left out."""

    def set_aside(self, key: Key, quantity: int, states: tuple[StockState, StockState], now: datetime) -> None: ...
    def send(self, source: str, target: str, wanted: Wanted, now: datetime) -> UUID: ...
    def receive(self, transfer_id: UUID, wanted: Wanted | None, now: datetime) -> None: ...
    def write_off(self, transfer_id: UUID, now: datetime) -> None: ...
    def cancel_transfer(self, transfer_id: UUID, now: datetime) -> None: ...
    def ship(
        self, shipment_id: UUID, order_id: UUID, version: int, status: str, wanted: Wanted, now: datetime
    ) -> None: ...
    def take_back(self, order_id: UUID, wanted: Wanted, condition: StockState, now: datetime) -> None: ...
    def hold(self, wanted: Wanted, place: str | None, lasts: timedelta, now: datetime) -> UUID: ...
    def release(self, hold_id: UUID, now: datetime) -> None: ...
    def convert(self, hold_id: UUID, order_id: UUID, now: datetime) -> None: ...
    def expire(self, now: datetime) -> None: ...
    def serve_waiting(self, now: datetime) -> None:
        """Do what was put off until later: serve the line wherever somebody said that stock arrived."""

    def see(self) -> Seen: ...


@dataclass
class Order:
    version: int = 0
    wanted: Wanted = field(default_factory=dict)
    status: str = "new"
    since: int = 0
    is_released: bool = False
    reserved: Counter[str] = field(default_factory=Counter)
    committed: Counter[str] = field(default_factory=Counter)

    @property
    def need(self) -> Wanted:
        return {sku: max(0, quantity - self.committed[sku]) for sku, quantity in self.wanted.items()}

    @property
    def waits(self) -> bool:
        return self.status == "backordered"


@dataclass
class Hold:
    units: Units
    expires_at: datetime
    state: str = "active"
    order_id: UUID | None = None

    @property
    def is_live(self) -> bool:
        return self.state in {"active", "promised"}

    def of(self, sku: str) -> int:
        return sum(quantity for key, quantity in self.units.items() if key[0] == sku)


class Model:
    """How it must be. ``put`` is what came to lie at each place but for shipments and returns."""

    def __init__(self) -> None:
        self.put: Counter[Key] = Counter()
        self.aside: dict[Key, Counter[str]] = {key: Counter() for key in KEYS}
        self.orders: dict[UUID, Order] = {}
        self.holds: dict[UUID, Hold] = {}
        self.clock = 0

    def free(self, sku: str) -> int:
        """Units of a SKU that nobody has and that can be sold."""
        mine = [key for key in KEYS if key[0] == sku]
        lies = sum(self.put[key] - sum(self.aside[key].values()) for key in mine)
        has = sum(order.reserved[sku] + order.committed[sku] for order in self.orders.values())
        return lies - has - sum(hold.of(sku) for hold in self.holds.values() if hold.is_live)

    def settle(self, order: Order) -> None:
        need = order.need
        may = not (order.is_released and any(need.values()))
        enough = may and all(self.free(sku) + order.reserved[sku] >= quantity for sku, quantity in need.items())
        waited = order.waits
        order.reserved = Counter(need) if enough else Counter()
        order.status = ("reserved" if order.wanted else "released") if enough else "backordered"
        if order.waits and not waited:
            self.clock += 1
            order.since = self.clock

    def serve_waiting(self) -> None:
        """First come, first served; who cannot have all has nothing, and lets others pass."""
        for order in sorted((x for x in self.orders.values() if x.waits), key=lambda x: x.since):
            self.settle(order)

    def give(self, hold: Hold, order_id: UUID) -> None:
        order = self.orders[order_id]
        for (sku, _), quantity in hold.units.items():
            order.reserved[sku] += quantity
        hold.state, hold.order_id = "converted", order_id


quantities = st.dictionaries(st.sampled_from(SKUS), st.integers(1, 4), max_size=2)
some_units = st.dictionaries(st.sampled_from(SKUS), st.integers(1, 3), min_size=1, max_size=2)
keys = st.sampled_from(KEYS)
numbers = st.integers(0, 5)
modes = st.sampled_from([ImportMode.SET, ImportMode.ADD])


class StockMachine(RuleBasedStateMachine):
    """Whatever is done, in whatever order: the world is as the model says, and tells how it came to be."""

    def make_world(self) -> World:
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.world = self.make_world()
        self.model = Model()
        self.now = START
        self.ids = (UUID(int=number) for number in count(1))
        self.order_ids = [next(self.ids) for _ in range(3)]
        self.transfers: list[tuple[UUID, str, str, Wanted]] = []
        self.shipments: list[tuple[UUID, UUID, Wanted]] = []
        for key in KEYS:
            self.adjust(key, 4)

    def tick(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    def _some_order(self, number: int) -> UUID:
        # The newest first: one that was promised a hold is soon placed.
        return self.order_ids[-1 - number % len(self.order_ids)]

    def settled(self) -> None:
        self.model.serve_waiting()
        self.world.serve_waiting(self.tick())

    def refuses(self, act, *arguments) -> bool:
        try:
            act(*arguments, self.tick())
        except RappitError:
            return True
        return False

    def _available(self, seen: Seen, key: Key) -> int:
        total, reserved, damaged, quarantined = seen.levels[key]
        return total - reserved - damaged - quarantined

    @rule(number=numbers, wanted=quantities)
    def version(self, number, wanted):
        order_id = self._some_order(number)
        order = self.model.orders.setdefault(order_id, Order())
        before = self.world.see().has.get(order_id, Has()).reserved
        order.version += 1
        # Who asks for something else is no longer kept from it.
        order.is_released = order.is_released and order.wanted == wanted
        order.wanted = wanted
        promised = [
            hold for hold in self.model.holds.values() if hold.state == "promised" and hold.order_id == order_id
        ]
        for hold in promised:
            self.model.give(hold, order_id)
        self.model.settle(order)
        self.world.order(order_id, order.version, wanted, self.tick())
        if not promised and order.status != "backordered":
            self._only_the_difference_moved(before, self.world.see().has[order_id].reserved)
        self.settled()

    def _only_the_difference_moved(self, before: Units, after: Units) -> None:
        for sku in SKUS:
            changes = [after.get(key, 0) - before.get(key, 0) for key in KEYS if key[0] == sku]
            assert min(changes) >= 0 or max(changes) <= 0, (before, after)

    @precondition(lambda self: self.model.orders)
    @rule(number=numbers, wanted=quantities, late=st.integers(0, 2))
    def late_or_repeated_version(self, number, wanted, late):
        order_id = self._some_order(number)
        order = self.model.orders.get(order_id)
        if order is not None and order.version > late:
            self.world.order(order_id, order.version - late, wanted, self.tick())
            self.settled()

    @precondition(lambda self: self.model.orders)
    @rule(number=numbers)
    def cancel(self, number):
        if self._some_order(number) in self.model.orders:
            self.version(number, {})

    @precondition(lambda self: self.model.orders)
    @rule(number=numbers)
    def force_release(self, number):
        order_id = self._some_order(number)
        order = self.model.orders.get(order_id)
        if order is None:
            return
        refused = not order.is_released and not any(order.need.values())
        assert self.refuses(self.world.force_release, order_id) == refused
        if not refused:
            order.is_released = True
            self.model.settle(order)
            self.settled()

    @precondition(lambda self: self.model.orders)
    @rule(number=numbers)
    def resume(self, number):
        order_id = self._some_order(number)
        if order_id in self.model.orders:
            self.model.orders[order_id].is_released = False
            self.world.resume(order_id, self.tick())
            self.settled()

    @rule(rows=st.dictionaries(keys, st.integers(0, 9), min_size=1), mode=modes)
    def bring(self, rows, mode):
        seen = self.world.see()
        for key, quantity in rows.items():
            total = seen.levels[key][0]
            if mode is ImportMode.ADD:
                self.model.put[key] += quantity
            elif quantity >= total - self._available(seen, key):
                self.model.put[key] += quantity - total
        self.world.bring(rows, mode, self.tick())
        self.settled()

    @rule(key=keys, delta=st.integers(-4, 5).filter(bool))
    def adjust(self, key, delta):
        refused = self._available(self.world.see(), key) + delta < 0
        assert self.refuses(self.world.adjust, key, delta) == refused
        if not refused:
            self.model.put[key] += delta
            self.settled()

    @rule(key=keys, quantity=st.integers(1, 3), states=st.permutations(list(StockState)))
    def set_aside(self, key, quantity, states):
        came, goes = states[0], states[1]
        aside = self.model.aside[key]
        there = self._available(self.world.see(), key) if came is StockState.SELLABLE else aside[came.value]
        refused = there < quantity
        assert self.refuses(self.world.set_aside, key, quantity, (came, goes)) == refused
        if not refused:
            aside[came.value] -= quantity
            aside[goes.value] += quantity
            del aside["sellable"]
            self.settled()

    @rule(places=st.permutations(PLACES), wanted=some_units)
    def send(self, places, wanted):
        source, target = places
        seen = self.world.see()
        refused = any(self._available(seen, (sku, source)) < quantity for sku, quantity in wanted.items())
        try:
            made = self.world.send(source, target, wanted, self.tick())
        except RappitError:
            assert refused
            return
        assert not refused
        for sku, quantity in wanted.items():
            self.model.put[sku, source] -= quantity
        self.transfers.append((made, source, target, Counter(wanted)))
        self.settled()

    @precondition(lambda self: self.transfers)
    @rule(number=numbers, wanted=some_units, ending=st.sampled_from(["some", "all", "lost", "back"]))
    def end_transfer(self, number, wanted, ending):
        made, source, target, rest = self.transfers[number % len(self.transfers)]
        if ending == "some":
            refused = any(rest[sku] < quantity for sku, quantity in wanted.items())
            assert self.refuses(self.world.receive, made, wanted) == refused
            if refused:
                return
        else:
            wanted = +rest
            act = {"all": self.world.receive, "lost": self.world.write_off, "back": self.world.cancel_transfer}[ending]
            # What has arrived whole or was cancelled may refuse to end otherwise; nothing moves by it either way.
            assert not self.refuses(act, made, *([None] if ending == "all" else [])) or not wanted
        for sku, quantity in wanted.items():
            rest[sku] -= quantity
            if ending != "lost":
                self.model.put[sku, source if ending == "back" else target] += quantity
        self.settled()

    @precondition(lambda self: self.model.orders)
    @rule(number=numbers, wanted=some_units)
    def ship(self, number, wanted):
        order_id = self._some_order(number)
        order = self.model.orders.get(order_id)
        if order is None:
            return
        refused = any(order.reserved[sku] + self.model.free(sku) < quantity for sku, quantity in wanted.items())
        made = next(self.ids)
        assert self.refuses(self.world.ship, made, order_id, 1, "labelled", wanted) == refused
        if refused:
            return
        for sku, quantity in wanted.items():
            order.reserved[sku] -= min(quantity, order.reserved[sku])
            order.committed[sku] += quantity
        self.model.settle(order)
        self.shipments.append((made, order_id, wanted))
        self.settled()

    @precondition(lambda self: self.shipments)
    @rule(number=numbers, repeated=st.booleans())
    def void(self, number, repeated):
        made, order_id, wanted = self.shipments.pop(number % len(self.shipments))
        if repeated:
            self.world.ship(made, order_id, 1, "labelled", {"A": 1}, self.tick())
        before = self.world.see().has[order_id]
        self.world.ship(made, order_id, 2, "voided", {}, self.tick())
        after, order = self.world.see().has[order_id], self.model.orders[order_id]
        for sku, quantity in wanted.items():
            order.committed[sku] -= quantity
            order.reserved[sku] += quantity
        for key in KEYS:
            # What had come back before does not come back twice.
            taken = before.committed.get(key, 0) - after.committed.get(key, 0)
            known = taken - min(taken, before.committed.get(key, 0) - before.returned.get(key, 0))
            assert before.returned.get(key, 0) - after.returned.get(key, 0) == known
            self.model.put[key] -= known
            order.reserved[key[0]] -= known
        self.model.settle(order)
        self.settled()

    @precondition(lambda self: self.shipments)
    @rule(number=numbers, quantity=st.integers(1, 2), condition=st.sampled_from(list(StockState)))
    def take_back(self, number, quantity, condition):
        _, order_id, wanted = self.shipments[number % len(self.shipments)]
        sku = next(iter(wanted))
        before = self.world.see().has[order_id]
        out = sum(before.committed.get(key, 0) - before.returned.get(key, 0) for key in KEYS if key[0] == sku)
        refused = out < quantity
        assert self.refuses(self.world.take_back, order_id, {sku: quantity}, condition) == refused
        if refused:
            return
        after = self.world.see().has[order_id]
        for key in KEYS:
            back = after.returned.get(key, 0) - before.returned.get(key, 0)
            assert back >= 0
            self.model.put[key] += back
            if condition is not StockState.SELLABLE:
                self.model.aside[key][condition.value] += back
        self.settled()

    @rule(wanted=some_units, place=st.sampled_from([None, *PLACES]), minutes=st.integers(1, 30))
    def hold(self, wanted, place, minutes):
        seen = self.world.see()
        refused = any(
            sum(self._available(seen, (sku, where)) for where in PLACES if place in {None, where}) < quantity
            for sku, quantity in wanted.items()
        )
        lasts = timedelta(minutes=minutes)
        try:
            made = self.world.hold(wanted, place, lasts, self.tick())
        except RappitError:
            assert refused
            return
        assert not refused
        _, units = self.world.see().holds[made]
        assert place is None or {where for _, where in units} == {place}
        hold = self.model.holds[made] = Hold(units, self.now + lasts)
        assert {sku: hold.of(sku) for sku in wanted} == wanted
        self.settled()

    def _some_hold(self, number: int) -> tuple[UUID, Hold]:
        return list(self.model.holds.items())[number % len(self.model.holds)]

    @precondition(lambda self: self.model.holds)
    @rule(number=numbers)
    def release(self, number):
        hold_id, hold = self._some_hold(number)
        assert self.refuses(self.world.release, hold_id) == (hold.state == "converted")
        if hold.is_live:
            hold.state = "released"
        self.settled()

    @precondition(lambda self: self.model.holds)
    @rule(number=numbers, which=numbers, is_new=st.booleans())
    def convert(self, number, which, is_new):
        hold_id, hold = self._some_hold(number)
        if is_new:
            self.order_ids.append(next(self.ids))
            which = 0
        order_id = self._some_order(which)
        mine = hold.state in {"promised", "converted"} and hold.order_id == order_id
        assert self.refuses(self.world.convert, hold_id, order_id) == (hold.state != "active" and not mine)
        if hold.state == "active":
            if order_id in self.model.orders:
                self.model.give(hold, order_id)
                self.model.settle(self.model.orders[order_id])
            else:
                hold.state, hold.order_id = "promised", order_id
                hold.expires_at = max(hold.expires_at, self.now + PROMISED)
        self.settled()

    @rule(wanted=some_units, ordered=quantities)
    def check_out(self, wanted, ordered):
        known = len(self.model.holds)
        self.hold(wanted, None, 15)
        if len(self.model.holds) > known:
            self.convert(-1, 0, is_new=True)
            self.version(0, ordered)

    @rule(minutes=st.sampled_from([1, 10, 31, 24 * 60 + 1]))
    def time_passes(self, minutes):
        self.now += timedelta(minutes=minutes)
        self.world.expire(self.tick())
        for hold in self.model.holds.values():
            if hold.is_live and hold.expires_at <= self.now:
                hold.state = "expired"
        self.settled()

    @invariant()
    def the_world_is_as_the_model_says(self):
        seen, model = self.world.see(), self.model
        assert {order_id: status for order_id, status in seen.statuses.items() if status != "new"} == {
            order_id: order.status for order_id, order in model.orders.items()
        }
        for order_id, order in model.orders.items():
            has = seen.has[order_id]
            for part, expected in (("reserved", order.reserved), ("committed", order.committed)):
                found = Counter()
                for (sku, _), quantity in getattr(has, part).items():
                    found[sku] += quantity
                assert +found == +expected, (order_id, part)
        assert {hold_id: state for hold_id, (state, _) in seen.holds.items()} == {
            hold_id: hold.state for hold_id, hold in model.holds.items()
        }
        sent = Counter()
        for _, _, target, rest in self.transfers:
            sent.update({(sku, target): quantity for sku, quantity in rest.items()})
        assert +Counter(seen.in_transit) == +sent
        for key in KEYS:
            self._level_is_right(seen, key)

    def _level_is_right(self, seen: Seen, key: Key) -> None:
        total, reserved, damaged, quarantined = seen.levels[key]
        aside = self.model.aside[key]
        assert (damaged, quarantined) == (aside["damaged"], aside["quarantined"])
        assert total == self.model.put[key] - sum(has.committed.get(key, 0) for has in seen.has.values())
        by_orders = sum(has.reserved.get(key, 0) for has in seen.has.values())
        by_holds = sum(hold.units.get(key, 0) for hold in self.model.holds.values() if hold.is_live)
        assert reserved == by_orders + by_holds
        assert min(seen.levels[key]) >= 0
        assert self._available(seen, key) >= 0
        assert seen.ledger[key] == seen.levels[key]
