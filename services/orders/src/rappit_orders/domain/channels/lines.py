"""What every channel's lines must agree to."""

from collections.abc import Iterable

from rappit_orders.domain.channels.fields import MAX_UNITS, Fields
from rappit_orders.domain.values import Line, demand_of


def checked_lines(parent: Fields, key: str, lines: Iterable[Line]) -> tuple[Line, ...]:
    """Return lines that can stand in one order.

    Raises:
        InvalidDeliveryError: Two lines share an id, or together they want more of a SKU than can be counted.
    """
    found = tuple(lines)
    if len({line.external_line_id for line in found}) < len(found):
        raise parent.refuse(key, "has two lines of one id")
    for demand in demand_of(found):
        if demand.quantity > MAX_UNITS:
            raise parent.refuse(key, f"wants more than {MAX_UNITS} of SKU {demand.sku}")
    return found
