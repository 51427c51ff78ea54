"""One warehouse that holds the whole order if there is one, else few; the one of the best rank first."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from uuid import UUID

from rappit_inventory.domain.allocation.interface import Allocator, Destination, Picks, Rank, comparable
from rappit_inventory.domain.stock import Level, Shelves

# No customs between them: of two warehouses abroad the one within the union is nearer in days and in paper. Only the
# codes of its members are here: of territories with codes of their own most are outside.
_CUSTOMS_UNION = frozenset(
    {"AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU"}
    | {"IE", "IT", "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK"}
)
_SAME_COUNTRY, _SAME_CUSTOMS, _ABROAD = range(3)


class ByPriority:
    """Warehouses in the order of their priority, wherever they lie."""

    def rank(self, level: Level, destination: Destination | None) -> Rank:  # noqa: ARG002 - others look at it
        """Return its priority, and its code where two have the same."""
        return (0, 0, level.priority, level.warehouse_code, level.warehouse_id)

    def choose(
        self,
        needs: Mapping[UUID, int],
        shelves: Shelves,
        holding: AbstractSet[UUID],
        destination: Destination | None,
    ) -> Picks:
        """Take all from the first warehouse that has all, or split."""
        single = self._single_warehouse(needs, shelves, holding, destination)
        if single is not None:
            return {(sku_id, single): quantity for sku_id, quantity in needs.items()}
        return split(needs, shelves, holding, self, destination)

    def _single_warehouse(
        self, needs: Mapping[UUID, int], shelves: Shelves, holding: AbstractSet[UUID], destination: Destination | None
    ) -> UUID | None:
        if not needs:
            return None
        first_sku = next(iter(needs))
        ranked = sorted(
            shelves.of_sku(first_sku),
            key=lambda level: (level.warehouse_id not in holding, self.rank(level, destination)),
        )
        for candidate in ranked:
            levels = [(shelves.get(sku_id, candidate.warehouse_id), quantity) for sku_id, quantity in needs.items()]
            if all(level is not None and level.allocatable >= quantity for level, quantity in levels):
                return candidate.warehouse_id
        return None


class Nearest(ByPriority):
    """Warehouses by how near they lie to where the order goes; those as near as each other by priority.

    First those in the same country, and of these the ones whose postcodes begin like the order's: postcodes are given
    by region. Then those within the same customs union, then all others, and those of which nobody said where they
    are. An order without a country is allocated by priority.
    """

    def rank(self, level: Level, destination: Destination | None) -> Rank:
        """Return how far a warehouse is, as far as addresses tell."""
        distance, unlike = _distance(level, destination)
        return (distance, unlike, level.priority, level.warehouse_code, level.warehouse_id)


def _distance(level: Level, destination: Destination | None) -> tuple[int, int]:
    if destination is None:
        return (0, 0)
    country = (level.country_code or "").upper()
    if country == destination.country_code:
        return (_SAME_COUNTRY, -_alike(comparable(level.postal_code), destination.postal_code))
    within = country in _CUSTOMS_UNION and destination.country_code in _CUSTOMS_UNION
    return (_SAME_CUSTOMS if within else _ABROAD, 0)


def _alike(one: str | None, other: str | None) -> int:
    """Return with how many characters two postcodes begin alike."""
    length = 0
    for mine, theirs in zip(one or "", other or "", strict=False):
        if mine != theirs:
            break
        length += 1
    return length


def split(
    needs: Mapping[UUID, int],
    shelves: Shelves,
    holding: AbstractSet[UUID],
    allocator: Allocator,
    destination: Destination | None,
    *,
    only: AbstractSet[UUID] | None = None,
) -> Picks:
    """Take units SKU by SKU, from warehouses that are used already before others.

    Args:
        needs: Units by SKU.
        shelves: The levels to choose from.
        holding: Warehouses that count as used from the start.
        allocator: Whose ranks decide between the others.
        destination: Where the order goes.
        only: Warehouses to keep to, which together have enough.
    """
    picks: Picks = {}
    used = set(holding)

    def place(level: Level, missing: int) -> tuple[bool, bool, Rank]:
        # A warehouse that holds all that is left of this SKU is better than two that hold it together.
        whole = level.allocatable >= missing
        return (not whole, level.warehouse_id not in used, allocator.rank(level, destination))

    for sku_id in sorted(needs):
        missing = needs[sku_id]
        levels = [x for x in shelves.of_sku(sku_id) if only is None or x.warehouse_id in only]
        for level in sorted(levels, key=lambda level, missing=missing: place(level, missing)):
            taken = min(level.allocatable, missing)
            if taken > 0:
                picks[sku_id, level.warehouse_id] = taken
                used.add(level.warehouse_id)
                missing -= taken
    return picks
