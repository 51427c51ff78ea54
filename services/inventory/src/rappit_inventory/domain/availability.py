"""What may be sold of a SKU, and a short memory of it for those who ask often."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from uuid import UUID

MAX_AGE_S = 2.0
MAX_ENTRIES = 100_000


@dataclass(frozen=True, slots=True)
class AvailableLevel:
    """What one warehouse has of a SKU, in units; ``for_channels`` leaves its safety stock out."""

    warehouse_code: str
    available: int
    for_channels: int
    in_transit: int


@dataclass(frozen=True, slots=True)
class Availability:
    """What all warehouses have of a SKU; nothing while it, or they, are not active."""

    sku_id: UUID
    sku: str
    levels: tuple[AvailableLevel, ...]

    @property
    def available(self) -> int:
        """Units that an order may be promised."""
        return sum(level.available for level in self.levels)

    @property
    def for_channels(self) -> int:
        """Units that channels may be told of."""
        return sum(level.for_channels for level in self.levels)

    @property
    def in_transit(self) -> int:
        """Units on their way to a warehouse."""
        return sum(level.in_transit for level in self.levels)


class AvailabilityCache:
    """Remembers availability for two seconds, in this process, by the codes that were asked for.

    A change that this process commits is forgotten at once. A change by another process shows when the entry is two
    seconds old: nobody is promised stock from here, reservations look at the locked rows.

    Args:
        max_age_s: How long an entry is believed.
        max_entries: How many are kept; when there are more, all are dropped.
        clock: Seconds that only rise.
    """

    def __init__(
        self,
        *,
        max_age_s: float = MAX_AGE_S,
        max_entries: int = MAX_ENTRIES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_age_s = max_age_s
        self._max_entries = max_entries
        self._clock = clock
        self._entries: dict[UUID, dict[str, tuple[float, Availability]]] = {}
        self._codes: dict[tuple[UUID, UUID], set[str]] = {}
        self._count = 0
        self.generation = 0
        """Rises whenever something is forgotten: what was read before that may be out of date."""

    def get(self, organization_id: UUID, code: str) -> Availability | None:
        """Return what is remembered of a SKU and not too old."""
        entry = self._entries.get(organization_id, {}).get(code)
        return entry[1] if entry is not None and self._clock() - entry[0] < self._max_age_s else None

    def put(self, organization_id: UUID, code: str, found: Availability, *, generation: int) -> None:
        """Remember what was read, unless something was forgotten since ``generation``."""
        if generation != self.generation:
            return
        if self._count >= self._max_entries:
            self._entries.clear()
            self._codes.clear()
            self._count = 0
        entries = self._entries.setdefault(organization_id, {})
        self._count += code not in entries
        entries[code] = (self._clock(), found)
        self._codes.setdefault((organization_id, found.sku_id), set()).add(code)

    def forget(self, organization_id: UUID, sku_ids: Collection[UUID]) -> None:
        """Drop what is remembered of some SKUs."""
        self.generation += 1
        entries = self._entries.get(organization_id, {})
        for sku_id in sku_ids:
            for code in self._codes.pop((organization_id, sku_id), ()):
                self._count -= entries.pop(code, None) is not None

    def forget_all(self, organization_id: UUID) -> None:
        """Drop what is remembered of all of an organization's SKUs."""
        self.generation += 1
        dropped = self._entries.pop(organization_id, {})
        self._count -= len(dropped)
        for _, found in dropped.values():
            self._codes.pop((organization_id, found.sku_id), None)
