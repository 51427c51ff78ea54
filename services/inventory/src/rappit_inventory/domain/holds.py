"""Units kept for a cart, or by hand: reserved for nobody's order yet.

A hold takes all of its units or none, and ends whole: released, expired, or converted, which gives its units to an
order. An order that is not known yet is promised them, and its first version takes them.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from rappit_inventory.domain.allocation import Picks, Strategy, allocate
from rappit_inventory.domain.demands import Demand, Held
from rappit_inventory.domain.errors import DocumentClosedError, InsufficientStockError
from rappit_inventory.domain.stock import Level, MovementKind, Shelves, Source

MAX_NAMED = 5
PROMISE_KEPT = timedelta(hours=24)
"""How long a promised hold waits for its order at least, whatever was left of its time."""


class HoldKind(StrEnum):
    """Whom stock is kept for: a buyer who has not ordered yet, or whoever asked a person to."""

    CART = "cart"
    MANUAL = "manual"


class HoldState(StrEnum):
    """What became of a hold."""

    ACTIVE = "active"
    PROMISED = "promised"
    CONVERTED = "converted"
    RELEASED = "released"
    EXPIRED = "expired"


LIVE = frozenset({HoldState.ACTIVE, HoldState.PROMISED})


@dataclass(slots=True)
class Hold:
    """A hold, locked; ``units`` by (SKU, warehouse) are on the shelves and reserved for as long as it lives."""

    id: UUID
    kind: HoldKind
    units: Picks
    actor: str
    created_at: datetime
    reason: str | None = None
    expires_at: datetime | None = None
    state: HoldState = HoldState.ACTIVE
    order_id: UUID | None = None
    ended_at: datetime | None = None

    @property
    def is_live(self) -> bool:
        """Whether its units are still held."""
        return self.state in LIVE

    def source(self, actor: str, trace_id: str | None) -> Source:
        """Return what the ledger says of its movements."""
        return Source("hold", self.id, actor, trace_id, self.reason)

    def check_live(self) -> None:
        """Refuse what can be done with held units only.

        Raises:
            DocumentClosedError: It has ended.
        """
        if not self.is_live:
            message = f"Hold {self.id} is {self.state.value}: its units are no longer held, make another."
            raise DocumentClosedError(message, hold_id=str(self.id), state=self.state.value)


def find_units(
    needs: Mapping[UUID, int],
    codes: Mapping[UUID, str],
    shelves: Shelves,
    *,
    warehouse_id: UUID | None,
    strategy: Strategy = Strategy.PRIORITY,
) -> Picks:
    """Find units that nobody was promised, all that are asked for or none.

    Args:
        needs: Units by SKU.
        codes: How the SKUs were asked for.
        shelves: Their levels; not changed.
        warehouse_id: Where they must lie, or None for the warehouses that an order's would come from.
        strategy: How these are chosen; nobody knows yet where the units will go.

    Raises:
        InsufficientStockError: Too few are free; says how many of each SKU are, and where.
    """
    places = {sku_id: _places(shelves.of_sku(sku_id), warehouse_id) for sku_id in needs}
    free = {sku_id: sum(level.allocatable for level in levels) for sku_id, levels in places.items()}
    short = [sku_id for sku_id, quantity in needs.items() if free[sku_id] < quantity]
    if short:
        told = [_told(codes[sku_id], needs[sku_id], places[sku_id]) for sku_id in short]
        more = len(told) - MAX_NAMED
        raise InsufficientStockError(
            " ".join(told[:MAX_NAMED]) + (f" And {more} more." if more > 0 else ""),
            shortages=[
                {"sku": codes[sku_id], "requested": needs[sku_id], "available": free[sku_id]} for sku_id in short
            ],
        )
    if warehouse_id is not None:
        return {(sku_id, warehouse_id): quantity for sku_id, quantity in needs.items()}
    # Never None: each SKU was found sufficient.
    return allocate(needs, shelves, strategy=strategy) or {}


def _places(levels: Collection[Level], warehouse_id: UUID | None) -> list[Level]:
    return [level for level in levels if warehouse_id in {None, level.warehouse_id}]


def _told(code: str, requested: int, levels: Collection[Level]) -> str:
    free = [level for level in levels if level.allocatable > 0]
    found = " and ".join(f"{level.allocatable} available in {level.warehouse_code}" for level in free[:MAX_NAMED])
    return f"Insufficient stock for SKU {code}: {requested} requested, {found or '0 available'}."


def hold_units(hold: Hold, shelves: Shelves, source: Source) -> None:
    """Reserve a new hold's units."""
    for key, quantity in sorted(hold.units.items()):
        shelves.move(*key, MovementKind.HOLD, source, reserved=quantity)


def give_up(hold: Hold, ending: HoldState, shelves: Shelves, source: Source, *, now: datetime) -> None:
    """Make a live hold's units free: it was released, or its time is over."""
    kind = MovementKind.HOLD_EXPIRE if ending is HoldState.EXPIRED else MovementKind.HOLD_RELEASE
    for key, quantity in sorted(hold.units.items()):
        shelves.move(*key, kind, source, reserved=-quantity)
    hold.state, hold.ended_at = ending, now


def promise(hold: Hold, order_id: UUID, *, now: datetime) -> None:
    """Keep a live hold's units for an order that is not known yet, and time enough for it to come."""
    hold.state, hold.order_id = HoldState.PROMISED, order_id
    if hold.expires_at is not None:
        hold.expires_at = max(hold.expires_at, now + PROMISE_KEPT)


def hand_over(hold: Hold, demand: Demand, shelves: Shelves, given: Source, taken: Source, *, now: datetime) -> None:
    """Make a live hold's units an order's, where they lie; settling the demand then gives back what it does not need.

    They are never free in between, so that nobody else can have them and no warehouse that was closed meanwhile keeps
    them from the order.

    Args:
        hold: Which ends by it.
        demand: Of the order; changed in place.
        shelves: The locked levels of its units.
        given: What the ledger says of the hold.
        taken: What the ledger says of the order.
        now: When.
    """
    for key, quantity in sorted(hold.units.items()):
        shelves.move(*key, MovementKind.HOLD_CONVERT, given, reserved=-quantity)
        shelves.move(*key, MovementKind.RESERVE, taken, reserved=quantity)
        demand.held.setdefault(key, Held()).reserved += quantity
    hold.state, hold.order_id, hold.ended_at = HoldState.CONVERTED, demand.order_id, now


def extend(hold: Hold, expires_at: datetime | None) -> None:
    """Give a live hold more time, or all of it; never less than it has.

    Raises:
        DocumentClosedError: It has ended.
    """
    hold.check_live()
    if hold.expires_at is not None:
        hold.expires_at = None if expires_at is None else max(hold.expires_at, expires_at)
