"""What an order needs, what it holds, and how the two are brought together.

A demand is settled whole or not at all: an order that cannot have all of its units holds none while it waits (what was
shipped stays shipped), so that the end is the same whichever versions were seen on the way, and nobody's stock lies
reserved for a parcel that cannot leave. An organization may choose otherwise: then an order holds what there is, and
waits for the rest.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from rappit_inventory.domain.allocation import Destination, allocate, rank
from rappit_inventory.domain.errors import NotHeldError
from rappit_inventory.domain.policy import StockPolicy
from rappit_inventory.domain.stock import Level, MovementKind, Shelves, Source, StockState, check_state

MAX_NAMED = 5
ORDINARY_PRIORITY = 100
"""Of an order that nobody put ahead or behind; the lowest is served first, as with warehouses."""


class DemandStatus(StrEnum):
    """What became of a demand."""

    NEW = "new"
    RESERVED = "reserved"
    BACKORDERED = "backordered"
    ON_HOLD = "on_hold"
    RELEASED = "released"


WAITING = frozenset({DemandStatus.BACKORDERED, DemandStatus.ON_HOLD})


@dataclass(slots=True)
class DemandLine:
    """Units of one SKU, as the order spells it; ``sku_id`` is None while the catalogue does not know it."""

    sku_code: str
    quantity: int
    sku_id: UUID | None = None


@dataclass(slots=True)
class Held:
    """Units that an order has in one warehouse: still there (reserved), shipped (committed), of these sent back."""

    reserved: int = 0
    committed: int = 0
    returned: int = 0


@dataclass(frozen=True, slots=True)
class Shortage:
    """What an order asks for of a SKU and what it could get: free units and those it held itself."""

    sku_code: str
    requested: int
    available: int
    inactive: bool = False

    def __str__(self) -> str:
        """Say it to a person."""
        if self.inactive:
            return f"SKU {self.sku_code} needs {self.requested} and is not active"
        return f"SKU {self.sku_code} needs {self.requested}, {self.available} available"


@dataclass(frozen=True, slots=True)
class ForceRelease:
    """That a person took an order's units away, and why."""

    actor: str
    reason: str


@dataclass(slots=True)
class Demand:
    """One order's demand, locked.

    Attributes:
        priority: Its place in the line of those who wait comes before how long it waits; the lowest is served first.
        destination: Where the order goes, as far as that is known.
        force_release: Set while a person keeps the order from holding anything; it waits, but in no line.
        policy: How its organization wants orders served.
    """

    order_id: UUID
    order_version: int = 0
    reservation_version: int = 0
    status: DemandStatus = DemandStatus.NEW
    waiting_since: datetime | None = None
    lines: list[DemandLine] = field(default_factory=list[DemandLine])
    held: dict[tuple[UUID, UUID], Held] = field(default_factory=dict[tuple[UUID, UUID], Held])
    shortages: list[Shortage] = field(default_factory=list[Shortage])
    priority: int = ORDINARY_PRIORITY
    destination: Destination | None = None
    force_release: ForceRelease | None = None
    policy: StockPolicy = field(default_factory=StockPolicy)
    is_expected: bool = False
    """Somebody spoke of the order before its first version came: a hold may be promised to it."""

    @property
    def is_waiting(self) -> bool:
        """Whether arriving stock concerns this order."""
        return self.status in WAITING

    @property
    def unknown_skus(self) -> list[str]:
        """The codes that the catalogue does not know."""
        return [line.sku_code for line in self.lines if line.sku_id is None]

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to be held: all of it was shipped, or nothing is asked for."""
        return not self.unknown_skus and not any(self.wanted().values())

    @property
    def is_set_aside(self) -> bool:
        """Whether it holds nothing because a person wants it so."""
        return self.force_release is not None and not self.is_complete

    def accept(self, version: int, lines: Iterable[DemandLine], destination: Destination | None = None) -> bool:
        """Take a version's lines; returns False, with nothing changed, when it is not newer than the last.

        What a person took away stays away until the order asks for something else.
        """
        if version <= self.order_version:
            return False
        before = {line.sku_code: line.quantity for line in self.lines}
        self.order_version = version
        self.lines = aggregated(lines)
        self.destination = destination
        if before != {line.sku_code: line.quantity for line in self.lines}:
            self.force_release = None
        return True

    def reserved(self, sku_id: UUID) -> int:
        """Return the units of a SKU that lie reserved for this order."""
        return sum(held.reserved for (held_sku, _), held in self.held.items() if held_sku == sku_id)

    def wanted(self) -> dict[UUID, int]:
        """Return the units by known SKU that should lie reserved: what is asked for and was not shipped yet."""
        asked: dict[UUID, int] = {}
        for line in self.lines:
            if line.sku_id is not None:
                asked[line.sku_id] = asked.get(line.sku_id, 0) + line.quantity
        for (sku_id, _), held in self.held.items():
            if sku_id in asked:
                asked[sku_id] = max(0, asked[sku_id] - held.committed)
        return asked

    def code_of(self, sku_id: UUID) -> str:
        """Return how the order spells a SKU it has a line for."""
        return next((line.sku_code for line in self.lines if line.sku_id == sku_id), str(sku_id))

    def short_skus(self) -> set[UUID]:
        """Return the SKUs that this order waits for: those whose arrival may fill it."""
        codes = {shortage.sku_code for shortage in self.shortages}
        return {line.sku_id for line in self.lines if line.sku_id is not None and line.sku_code in codes}

    def waiting_lines(self) -> list[DemandLine]:
        """Return the lines whose SKUs this order waits for: to arrive, or to become known."""
        if not self.is_waiting or self.is_set_aside:
            return []
        # Only what is short or unknown: an order is not in the line of a SKU that would not help it.
        short = self.short_skus()
        return [line for line in self.lines if line.sku_id is None or line.sku_id in short]

    def message(self) -> str | None:
        """Return why the order waits, for a person, or None when it does not."""
        if self.is_set_aside and self.force_release is not None:
            who = self.force_release
            return f"Released by {who.actor}: {who.reason.rstrip('.')}. It waits until it is resumed, or changed."
        if self.status is DemandStatus.ON_HOLD:
            codes = self.unknown_skus
            noun, it = ("SKU", "it") if len(codes) == 1 else ("SKUs", "them")
            return f"Unknown {noun} {_listed(codes, ', ')}: add {it} to the catalogue, or change the order."
        if self.status is DemandStatus.BACKORDERED:
            told = _listed([str(shortage) for shortage in self.shortages], "; ")
            held = any(held.reserved for held in self.held.values())
            return f"{'Reserved in part' if held else 'Insufficient stock'}: {told}."
        return None


def _listed(parts: list[str], separator: str) -> str:
    more = len(parts) - MAX_NAMED
    return separator.join(parts[:MAX_NAMED]) + (f"{separator}and {more} more" if more > 0 else "")


def aggregated(lines: Iterable[DemandLine]) -> list[DemandLine]:
    """Return one line for each spelling: the same SKU on two lines is one demand."""
    merged: dict[str, DemandLine] = {}
    for line in lines:
        known = merged.setdefault(line.sku_code, DemandLine(line.sku_code, 0, line.sku_id))
        known.quantity += line.quantity
    return list(merged.values())


def settle(demand: Demand, shelves: Shelves, source: Source, *, now: datetime) -> bool:
    """Bring what an order holds in line with what it needs, as far as the shelves allow.

    What it already holds stays where it lies: only the difference is reserved or released. Idempotent.

    Args:
        demand: The order's demand, its lines resolved against the catalogue; changed in place.
        shelves: The locked levels of every SKU that it names or holds; changed in place.
        source: What the ledger says.
        now: When it began to wait, if it begins now. Give each order of a batch its own, rising.

    Returns:
        Whether the answer to the order is another than before.
    """
    before = _answer(demand)
    wanted = demand.wanted()
    demand.shortages = []
    if demand.is_set_aside:
        _release_all(demand, shelves, source)
        demand.status = DemandStatus.BACKORDERED
    elif demand.unknown_skus:
        _release_all(demand, shelves, source)
        demand.status = DemandStatus.ON_HOLD
    elif not demand.lines:
        _release_all(demand, shelves, source)
        demand.status = DemandStatus.RELEASED
    elif short := _shortages(demand, wanted, shelves):
        demand.shortages = short
        _hold(demand, _obtainable(demand, wanted, shelves), shelves, source)
        demand.status = DemandStatus.BACKORDERED
    else:
        _hold(demand, wanted, shelves, source)
        demand.status = DemandStatus.RESERVED
    demand.waiting_since = (demand.waiting_since or now) if demand.is_waiting else None
    return before != _answer(demand)


def move_held(
    demand: Demand, sku_id: UUID, came_from: UUID, goes_to: UUID, quantity: int, shelves: Shelves, source: Source
) -> None:
    """Have an order hold units in another warehouse than before; the order holds as many as it did.

    Raises:
        NotHeldError: It does not hold as many there.
        InsufficientStockError: Fewer are free in the other.
    """
    held, level = demand.held.get((sku_id, came_from), Held()), shelves.at(sku_id, came_from)
    if held.reserved < quantity:
        raise NotHeldError(
            f"The order has {held.reserved} of SKU {level.sku_code} reserved in {level.warehouse_code},"
            f" cannot move {quantity}.",
            sku=level.sku_code,
            warehouse_code=level.warehouse_code,
            reserved=held.reserved,
            requested=quantity,
        )
    check_state(shelves.at(sku_id, goes_to), StockState.SELLABLE, quantity)
    shelves.move(sku_id, came_from, MovementKind.RELEASE, source, reserved=-quantity)
    shelves.move(sku_id, goes_to, MovementKind.RESERVE, source, reserved=quantity)
    held.reserved -= quantity
    demand.held.setdefault((sku_id, goes_to), Held()).reserved += quantity


def _answer(demand: Demand) -> tuple[object, ...]:
    """Return what tells one answer from another: how much of a short SKU there is at the moment does not."""
    places = {key: held.reserved + held.committed for key, held in demand.held.items()}
    places = {key: quantity for key, quantity in places.items() if quantity}
    unknown = demand.unknown_skus if demand.status is DemandStatus.ON_HOLD else []
    return (demand.status, unknown, demand.short_skus(), places, demand.is_set_aside)


def _shortages(demand: Demand, wanted: dict[UUID, int], shelves: Shelves) -> list[Shortage]:
    short: list[Shortage] = []
    for sku_id, quantity in wanted.items():
        available = shelves.available(sku_id) + demand.reserved(sku_id)
        if available < quantity:
            inactive = not shelves.is_active(sku_id)
            short.append(Shortage(demand.code_of(sku_id), quantity, available, inactive))
    return short


def _obtainable(demand: Demand, wanted: dict[UUID, int], shelves: Shelves) -> dict[UUID, int]:
    """Return what an order that is short may hold while it waits."""
    if not demand.policy.partial_reservations:
        return {}
    return {
        sku_id: min(quantity, shelves.available(sku_id) + demand.reserved(sku_id))
        for sku_id, quantity in wanted.items()
    }


def _hold(demand: Demand, wanted: dict[UUID, int], shelves: Shelves, source: Source) -> None:
    _release_surplus(demand, wanted, shelves, source)
    _reserve_difference(demand, wanted, shelves, source)


def _release(demand: Demand, key: tuple[UUID, UUID], quantity: int, shelves: Shelves, source: Source) -> None:
    if quantity:
        shelves.move(*key, MovementKind.RELEASE, source, reserved=-quantity)
        demand.held[key].reserved -= quantity


def _release_all(demand: Demand, shelves: Shelves, source: Source) -> None:
    for key in sorted(demand.held):
        _release(demand, key, demand.held[key].reserved, shelves, source)


def _release_surplus(demand: Demand, wanted: dict[UUID, int], shelves: Shelves, source: Source) -> None:
    for sku_id in sorted({key[0] for key in demand.held}):
        surplus = demand.reserved(sku_id) - wanted.get(sku_id, 0)
        # The warehouse that ships last gives back first.
        for level in reversed(_ranked(demand, shelves.of_sku(sku_id))):
            key = (sku_id, level.warehouse_id)
            if surplus > 0 and key in demand.held:
                given = min(surplus, demand.held[key].reserved)
                _release(demand, key, given, shelves, source)
                surplus -= given


def _reserve_difference(demand: Demand, wanted: dict[UUID, int], shelves: Shelves, source: Source) -> None:
    needs = {sku_id: quantity - demand.reserved(sku_id) for sku_id, quantity in wanted.items()}
    needs = {sku_id: quantity for sku_id, quantity in needs.items() if quantity > 0}
    holding = {key[1] for key, held in demand.held.items() if held.reserved}
    places = allocate(
        needs, shelves, holding, strategy=demand.policy.allocation_strategy, destination=demand.destination
    )
    # Never None: each SKU was found sufficient before anything was released.
    for key, quantity in (places or {}).items():
        shelves.move(*key, MovementKind.RESERVE, source, reserved=quantity)
        demand.held.setdefault(key, Held()).reserved += quantity


def _ranked(demand: Demand, levels: Iterable[Level]) -> list[Level]:
    strategy = demand.policy.allocation_strategy
    return sorted(levels, key=lambda level: rank(level, strategy, demand.destination))
