"""Which warehouses an order's units come from: strategies behind one interface, of which an organization chooses one.

A strategy never breaks these rules, whichever it is: all of the units or none, from active warehouses that have them
free, the same answer to the same question, and no wandering: what an order holds already stays where it lies, and the
warehouses that hold it are asked first, to keep the order in few parcels.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from enum import StrEnum
from uuid import UUID

from rappit_inventory.domain.allocation.by_rank import ByPriority, Nearest
from rappit_inventory.domain.allocation.fewest_parcels import FewestParcels
from rappit_inventory.domain.allocation.interface import Allocator, Destination, Picks, Rank
from rappit_inventory.domain.stock import Level, Shelves

__all__ = ["Destination", "Picks", "Strategy", "allocate", "rank"]


class Strategy(StrEnum):
    """How an organization wants its orders allocated."""

    PRIORITY = "priority"
    NEAREST = "nearest"
    FEWEST_PARCELS = "fewest_parcels"


_ALLOCATORS: Mapping[Strategy, Allocator] = {
    Strategy.PRIORITY: ByPriority(),
    Strategy.NEAREST: Nearest(),
    Strategy.FEWEST_PARCELS: FewestParcels(),
}


def allocate(
    needs: Mapping[UUID, int],
    shelves: Shelves,
    holding: AbstractSet[UUID] = frozenset(),
    *,
    strategy: Strategy = Strategy.PRIORITY,
    destination: Destination | None = None,
) -> Picks | None:
    """Find a place for all of ``needs``, or for nothing.

    Args:
        needs: Units by SKU, each above zero.
        shelves: The levels to choose from; not changed.
        holding: Warehouses that already hold a part of the order: they are preferred, to keep it in few parcels.
        strategy: Which.
        destination: Where the order goes, as far as that is known.

    Returns:
        Units by SKU and warehouse, or None when some SKU is short.
    """
    if any(shelves.available(sku_id) < quantity for sku_id, quantity in needs.items()):
        return None
    return _ALLOCATORS[strategy].choose(needs, shelves, holding, destination)


def rank(level: Level, strategy: Strategy, destination: Destination | None) -> Rank:
    """Return what sorts warehouses of a strategy: the one that ships first at the front."""
    return _ALLOCATORS[strategy].rank(level, destination)
