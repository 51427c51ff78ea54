"""The smallest number of warehouses that together hold the order: each of them is a parcel."""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import combinations
from uuid import UUID

from rappit_inventory.domain.allocation.by_rank import ByPriority, split
from rappit_inventory.domain.allocation.interface import Destination, Picks, Rank
from rappit_inventory.domain.stock import Shelves

MAX_EXACT_WAREHOUSES = 8
"""Up to so many candidates every combination is looked at, 256 at most; beyond, the number would double with each."""

_Supplies = Mapping[UUID, Mapping[UUID, int]]
"""By warehouse, the units of each SKU that it can give, none above what is needed."""


class FewestParcels(ByPriority):
    """As few warehouses as possible, and of combinations of the same size the one of the best priorities.

    A warehouse that holds a part of the order already costs no further parcel. With more than 8 others to choose from
    the choice is greedy: the warehouse that can give most of what is still missing, again and again, and then those
    that turned out to be superfluous are dropped. That may be a parcel more than needed, and never fails to find one.
    """

    def choose(
        self,
        needs: Mapping[UUID, int],
        shelves: Shelves,
        holding: AbstractSet[UUID],
        destination: Destination | None,
    ) -> Picks:
        """Take from the smallest combination that has all."""
        ranks, supplies = self._candidates(needs, shelves, destination)
        others = sorted((warehouse for warehouse in supplies if warehouse not in holding), key=ranks.__getitem__)
        missing = _missing(needs, supplies, holding)
        find = _smallest if len(others) <= MAX_EXACT_WAREHOUSES else _greedy
        chosen = find(missing, supplies, others)
        return split(needs, shelves, holding, self, destination, only={*holding, *chosen})

    def _candidates(
        self, needs: Mapping[UUID, int], shelves: Shelves, destination: Destination | None
    ) -> tuple[dict[UUID, Rank], dict[UUID, dict[UUID, int]]]:
        ranks: dict[UUID, Rank] = {}
        supplies: dict[UUID, dict[UUID, int]] = {}
        for sku_id, quantity in needs.items():
            for level in shelves.of_sku(sku_id):
                if level.allocatable > 0:
                    ranks[level.warehouse_id] = self.rank(level, destination)
                    supplies.setdefault(level.warehouse_id, {})[sku_id] = min(level.allocatable, quantity)
        return ranks, supplies


def _missing(needs: Mapping[UUID, int], supplies: _Supplies, chosen: Iterable[UUID]) -> dict[UUID, int]:
    missing = dict(needs)
    for warehouse_id in chosen:
        for sku_id, quantity in supplies.get(warehouse_id, {}).items():
            missing[sku_id] = missing.get(sku_id, 0) - quantity
    return {sku_id: quantity for sku_id, quantity in missing.items() if quantity > 0}


def _smallest(missing: Mapping[UUID, int], supplies: _Supplies, others: Sequence[UUID]) -> Sequence[UUID]:
    # The scarcest SKU first: it refuses most combinations at the first look, however many lines the order has.
    scarcest = sorted(missing, key=lambda sku_id: sum(supplies[other].get(sku_id, 0) >= 1 for other in others))

    def holds_all(combination: Sequence[UUID]) -> bool:
        return all(
            sum(supplies[warehouse_id].get(sku_id, 0) for warehouse_id in combination) >= missing[sku_id]
            for sku_id in scarcest
        )

    # In the order of ranks, so that the first that is enough is the best of its size; all of them together are enough.
    sizes = range(len(others))
    return next((x for size in sizes for x in combinations(others, size) if holds_all(x)), others)


def _greedy(missing: Mapping[UUID, int], supplies: _Supplies, others: Sequence[UUID]) -> Sequence[UUID]:
    chosen: list[UUID] = []
    left = dict(missing)
    while left:

        def gives(warehouse_id: UUID, left: Mapping[UUID, int] = left) -> int:
            return sum(min(quantity, left.get(sku_id, 0)) for sku_id, quantity in supplies[warehouse_id].items())

        # The first of those that give most: `max` keeps the order of ranks.
        chosen.append(max((other for other in others if other not in chosen), key=gives))
        left = _missing(missing, supplies, chosen)
    for warehouse_id in reversed(tuple(chosen)):
        without = [other for other in chosen if other != warehouse_id]
        if not _missing(missing, supplies, without):
            chosen = without
    return chosen
