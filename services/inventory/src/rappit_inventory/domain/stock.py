"""Levels in hand while a decision is made, and the movements that the decision makes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from rappit_inventory.domain.errors import InsufficientStockError, QuantityTooLargeError

MAX_QUANTITY = 2_147_483_647
"""Units in one level, one demand or one row of a file at most."""


class MovementKind(StrEnum):
    """Why a level changed."""

    RESERVE = "reserve"
    RELEASE = "release"
    COMMIT = "commit"
    RETURN = "return"
    ADJUST = "adjust"
    IMPORT = "import"
    STATE = "state"
    TRANSFER = "transfer"
    COUNT = "count"
    HOLD = "hold"
    HOLD_RELEASE = "hold_release"
    HOLD_EXPIRE = "hold_expire"
    HOLD_CONVERT = "hold_convert"
    REPAIR = "repair"


class StockState(StrEnum):
    """What can be done with units on a shelf."""

    SELLABLE = "sellable"
    DAMAGED = "damaged"
    QUARANTINED = "quarantined"


class NegativeStockError(RuntimeError):
    """A decision would take what is not there: a bug, stopped before the database would refuse it."""


@dataclass(slots=True)
class Level:
    """What lies of one SKU in one warehouse; counts of units.

    ``active`` says whether both the SKU and the warehouse are: of a level that is not, nothing new is promised.
    ``country_code`` and ``postal_code`` say where the warehouse is.
    """

    sku_id: UUID
    warehouse_id: UUID
    sku_code: str
    warehouse_code: str
    priority: int
    total: int
    reserved: int
    damaged: int = 0
    quarantined: int = 0
    reorder_point: int | None = None
    active: bool = True
    sku_active: bool = True
    country_code: str | None = None
    postal_code: str | None = None

    @property
    def unavailable(self) -> int:
        """Units that lie there and cannot be sold as they are."""
        return self.damaged + self.quarantined

    @property
    def available(self) -> int:
        """Units that nobody was promised and that can be sold."""
        return self.total - self.reserved - self.unavailable

    @property
    def allocatable(self) -> int:
        """Units that an order may still be promised."""
        return self.available if self.active else 0

    @property
    def is_low(self) -> bool:
        """Whether it should be bought anew."""
        return self.reorder_point is not None and self.available <= self.reorder_point


def check_room(level: Level, quantity: int) -> None:
    """Refuse units that a level cannot count.

    Raises:
        QuantityTooLargeError: It would pass 2,147,483,647.
    """
    if level.total + quantity > MAX_QUANTITY:
        message = f"A level holds at most {MAX_QUANTITY} units: SKU {level.sku_code} in {level.warehouse_code}."
        raise QuantityTooLargeError(message, sku=level.sku_code, warehouse_code=level.warehouse_code)


def check_state(level: Level, state: StockState, quantity: int) -> None:
    """Refuse to take more units out of a state than are in it.

    Raises:
        InsufficientStockError: Fewer are sellable and free, damaged or quarantined.
    """
    found = {
        StockState.SELLABLE: level.available,
        StockState.DAMAGED: level.damaged,
        StockState.QUARANTINED: level.quarantined,
    }[state]
    if found < quantity:
        word = "available" if state is StockState.SELLABLE else state.value
        raise InsufficientStockError(
            f"Insufficient stock for SKU {level.sku_code}: {quantity} requested, {found} {word}"
            f" in {level.warehouse_code}.",
            sku=level.sku_code,
            warehouse_code=level.warehouse_code,
            requested=quantity,
            available=found,
        )


@dataclass(frozen=True, slots=True)
class Source:
    """The document that moves stock, and who stands behind it."""

    kind: str
    id: UUID
    actor: str
    trace_id: str | None = None
    reason: str | None = None
    reason_code: str | None = None


@dataclass(frozen=True, slots=True)
class Movement:
    """One change of one level; becomes a row of the ledger."""

    sku_id: UUID
    warehouse_id: UUID
    kind: MovementKind
    source: Source
    total_before: int
    total_after: int
    reserved_before: int
    reserved_after: int
    damaged_before: int = 0
    damaged_after: int = 0
    quarantined_before: int = 0
    quarantined_after: int = 0

    @property
    def available_before(self) -> int:
        """Units that were free before it."""
        return self.total_before - self.reserved_before - self.damaged_before - self.quarantined_before


class Shelves:
    """The locked levels of some SKUs. Everything that changes them goes through :meth:`move`.

    Args:
        levels: Each level of every SKU concerned, in any order.
    """

    def __init__(self, levels: Iterable[Level]) -> None:
        self._levels: dict[tuple[UUID, UUID], Level] = {}
        self._of_sku: dict[UUID, list[Level]] = {}
        self.movements: list[Movement] = []
        for level in sorted(levels, key=lambda x: (x.priority, x.warehouse_code, x.warehouse_id)):
            self._levels[level.sku_id, level.warehouse_id] = level
            self._of_sku.setdefault(level.sku_id, []).append(level)

    def of_sku(self, sku_id: UUID) -> list[Level]:
        """Return a SKU's levels, the warehouse that ships first at the front."""
        return self._of_sku.get(sku_id, [])

    def available(self, sku_id: UUID) -> int:
        """Return what all warehouses together can still promise."""
        return sum(level.allocatable for level in self.of_sku(sku_id))

    def is_active(self, sku_id: UUID) -> bool:
        """Tell whether a SKU may be promised at all, wherever it lies."""
        return all(level.sku_active for level in self.of_sku(sku_id))

    def get(self, sku_id: UUID, warehouse_id: UUID) -> Level | None:
        """Return one level, or None when the SKU never lay there."""
        return self._levels.get((sku_id, warehouse_id))

    def at(self, sku_id: UUID, warehouse_id: UUID) -> Level:
        """Return one level that is known to be there."""
        return self._levels[sku_id, warehouse_id]

    def move(
        self,
        sku_id: UUID,
        warehouse_id: UUID,
        kind: MovementKind,
        source: Source,
        *,
        total: int = 0,
        reserved: int = 0,
        damaged: int = 0,
        quarantined: int = 0,
    ) -> None:
        """Change a level by so many units and note it for the ledger.

        Raises:
            NegativeStockError: It would promise or lose more than there is.
        """
        level = self._levels[sku_id, warehouse_id]
        before = _quantities(level)
        after = (
            level.total + total,
            level.reserved + reserved,
            level.damaged + damaged,
            level.quarantined + quarantined,
        )
        if min(after) < 0 or after[0] < sum(after[1:]):
            raise NegativeStockError(f"level of {sku_id} in {warehouse_id} would become {after}")
        level.total, level.reserved, level.damaged, level.quarantined = after
        pairs = [quantity for pair in zip(before, after, strict=True) for quantity in pair]
        self.movements.append(Movement(sku_id, warehouse_id, kind, source, *pairs))

    def _first(self) -> dict[tuple[UUID, UUID], Movement]:
        first: dict[tuple[UUID, UUID], Movement] = {}
        for movement in self.movements:
            first.setdefault((movement.sku_id, movement.warehouse_id), movement)
        return first

    def changed(self) -> Iterator[Level]:
        """Yield each level that moved and now differs from how it was found, in the order of locks."""
        first = self._first()
        for key in sorted(first):
            level, start = self._levels[key], first[key]
            found = (start.total_before, start.reserved_before, start.damaged_before, start.quarantined_before)
            if _quantities(level) != found:
                yield level

    def fallen(self) -> list[Level]:
        """Return the levels that have come down to their reorder points, and were above them before."""
        first = self._first()
        return [
            level
            for key in sorted(first)
            if (level := self._levels[key]).reorder_point is not None
            and level.available <= level.reorder_point < first[key].available_before
        ]

    def freed_skus(self) -> list[UUID]:
        """Return the SKUs of which some warehouse can now promise more than it could before."""
        return sorted(
            {key[0] for key, start in self._first().items() if self._levels[key].allocatable > start.available_before}
        )


def _quantities(level: Level) -> tuple[int, int, int, int]:
    return (level.total, level.reserved, level.damaged, level.quarantined)
