"""Levels in hand while a decision is made, and the movements that the decision makes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

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


class NegativeStockError(RuntimeError):
    """A decision would take what is not there: a bug, stopped before the database would refuse it."""


@dataclass(slots=True)
class Level:
    """What lies of one SKU in one warehouse; counts of units."""

    sku_id: UUID
    warehouse_id: UUID
    sku_code: str
    warehouse_code: str
    priority: int
    total: int
    reserved: int

    @property
    def available(self) -> int:
        """Units that nobody was promised."""
        return self.total - self.reserved


@dataclass(frozen=True, slots=True)
class Source:
    """The document that moves stock, and who stands behind it."""

    kind: str
    id: UUID
    actor: str
    trace_id: str | None = None
    reason: str | None = None


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
        return sum(level.available for level in self.of_sku(sku_id))

    def get(self, sku_id: UUID, warehouse_id: UUID) -> Level | None:
        """Return one level, or None when the SKU never lay there."""
        return self._levels.get((sku_id, warehouse_id))

    def move(
        self, sku_id: UUID, warehouse_id: UUID, kind: MovementKind, source: Source, *, total: int = 0, reserved: int = 0
    ) -> None:
        """Change a level by ``total`` and ``reserved`` units and note it for the ledger.

        Raises:
            NegativeStockError: It would promise or lose more than there is.
        """
        level = self._levels[sku_id, warehouse_id]
        before = (level.total, level.reserved)
        after_total, after_reserved = level.total + total, level.reserved + reserved
        if not 0 <= after_reserved <= after_total:
            raise NegativeStockError(f"level of {sku_id} in {warehouse_id} would become {after_total}/{after_reserved}")
        level.total, level.reserved = after_total, after_reserved
        self.movements.append(
            Movement(sku_id, warehouse_id, kind, source, before[0], after_total, before[1], after_reserved)
        )

    def changed(self) -> Iterator[Level]:
        """Yield each level that moved and now differs from how it was found, in the order of locks."""
        first: dict[tuple[UUID, UUID], Movement] = {}
        for movement in self.movements:
            first.setdefault((movement.sku_id, movement.warehouse_id), movement)
        for key in sorted(first):
            level, start = self._levels[key], first[key]
            if (level.total, level.reserved) != (start.total_before, start.reserved_before):
                yield level

    def freed_skus(self) -> list[UUID]:
        """Return the SKUs of which some warehouse can now promise more than it could before."""
        found: dict[tuple[UUID, UUID], int] = {}
        for m in self.movements:
            found.setdefault((m.sku_id, m.warehouse_id), m.total_before - m.reserved_before)
        return sorted({key[0] for key, before in found.items() if self._levels[key].available > before})
