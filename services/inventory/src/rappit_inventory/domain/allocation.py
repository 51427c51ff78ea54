"""Which warehouses an order's units come from: one that holds the whole order if there is one, else few."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from uuid import UUID

from rappit_inventory.domain.stock import Level, Shelves

Picks = dict[tuple[UUID, UUID], int]
"""Units by (SKU, warehouse)."""


def allocate(needs: Mapping[UUID, int], shelves: Shelves, holding: AbstractSet[UUID] = frozenset()) -> Picks | None:
    """Find a place for all of ``needs``, or for nothing.

    Args:
        needs: Units by SKU, each above zero.
        shelves: The levels to choose from; not changed.
        holding: Warehouses that already hold a part of the order: one of them is preferred, to keep it in one parcel.

    Returns:
        Units by SKU and warehouse, or None when some SKU is short.
    """
    if any(shelves.available(sku_id) < quantity for sku_id, quantity in needs.items()):
        return None
    single = _single_warehouse(needs, shelves, holding)
    if single is not None:
        return {(sku_id, single): quantity for sku_id, quantity in needs.items()}
    return _split(needs, shelves, holding)


def _rank(level: Level, holding: AbstractSet[UUID]) -> tuple[bool, int, str, UUID]:
    return (level.warehouse_id not in holding, level.priority, level.warehouse_code, level.warehouse_id)


def _single_warehouse(needs: Mapping[UUID, int], shelves: Shelves, holding: AbstractSet[UUID]) -> UUID | None:
    if not needs:
        return None
    first_sku = next(iter(needs))
    for candidate in sorted(shelves.of_sku(first_sku), key=lambda level: _rank(level, holding)):
        levels = [(shelves.get(sku_id, candidate.warehouse_id), quantity) for sku_id, quantity in needs.items()]
        if all(level is not None and level.allocatable >= quantity for level, quantity in levels):
            return candidate.warehouse_id
    return None


def _split(needs: Mapping[UUID, int], shelves: Shelves, holding: AbstractSet[UUID]) -> Picks:
    picks: Picks = {}
    used = set(holding)
    for sku_id in sorted(needs):
        missing = needs[sku_id]
        ranked = sorted(shelves.of_sku(sku_id), key=lambda level: _rank(level, used))
        # A warehouse that holds all that is left of this SKU is better than two that hold it together.
        ranked.sort(key=lambda level: level.allocatable < missing)
        for level in ranked:
            taken = min(level.allocatable, missing)
            if taken > 0:
                picks[sku_id, level.warehouse_id] = taken
                used.add(level.warehouse_id)
                missing -= taken
    return picks
