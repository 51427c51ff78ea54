"""How an organization wants its orders served."""

from dataclasses import dataclass

from rappit_inventory.domain.allocation import Strategy


@dataclass(frozen=True, slots=True)
class StockPolicy:
    """What an organization has chosen; the defaults are what holds until it does.

    Attributes:
        allocation_strategy: Which warehouses orders are served from.
        partial_reservations: Whether an order that cannot have all of its units holds those there are while it waits.
    """

    allocation_strategy: Strategy = Strategy.PRIORITY
    partial_reservations: bool = False
