"""What every channel's orders are made of: people, places and lines."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final, TypeAlias

from rappit_doubles.clock import Clock

CENT: Final = Decimal("0.01")
ID_RANGE: Final = (5_000_000_000_000, 9_000_000_000_000)

NewLine: TypeAlias = tuple[str | None, int, str | Decimal]
"""SKU (None or "" as merchants leave it), quantity, unit price."""


@dataclass(frozen=True)
class Address:
    """Where a parcel goes. `country_code` is ISO 3166-1 alpha-2."""

    first_name: str = "Jörg"
    last_name: str = "Käufer"
    company: str | None = None
    line1: str = "Hauptstraße 5"
    line2: str | None = None
    city: str = "Berlin"
    region: str | None = None
    region_code: str | None = None
    postal_code: str = "10115"
    country: str = "Germany"
    country_code: str = "DE"
    phone: str | None = "+49 30 555020"

    @property
    def name(self) -> str:
        """The full name."""
        return f"{self.first_name} {self.last_name}".strip()


@dataclass(frozen=True)
class Customer:
    """Who bought."""

    email: str = "joerg@example.com"
    first_name: str = "Jörg"
    last_name: str = "Käufer"


@dataclass
class Line:
    """One line of an order. `ordered` never falls; `current` is what is left after edits, refunds and removals."""

    id: int
    sku: str | None
    name: str
    ordered: int
    current: int
    price: Decimal
    product_id: int
    variant_id: int
    requires_shipping: bool = True
    fulfilled: int = 0


@dataclass
class Basket:
    """The lines of an order and the moments of its life; the state every channel's order is written from."""

    lines: list[Line]
    created_at: datetime
    updated_at: datetime
    cancelled_at: datetime | None = None
    refunds: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def line(self, key: str | int) -> Line:
        """The line with this SKU or line id.

        Raises:
            LookupError: No line, or several, have that SKU; use the line's id.
        """
        found = [line for line in self.lines if (line.id if isinstance(key, int) else line.sku) == key]
        if len(found) != 1:
            raise LookupError(f"{len(found)} lines match {key!r}; give the id of one line.")
        return found[0]

    def total(self) -> Decimal:
        """What the current quantities cost."""
        return sum((line.price * line.current for line in self.lines), Decimal(0))

    def touch(self, now: datetime) -> None:
        """Note a change. `updated_at` always grows by a second or more, so that every edit is newer than the last."""
        self.updated_at = max(now.replace(microsecond=0), self.updated_at + timedelta(seconds=1))


class Source:
    """Where one shop's ids and times come from; seed the randomness and every run is the same."""

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self.clock = clock
        self.rng = rng

    def id(self) -> int:
        """A new 64-bit id."""
        return self.rng.randrange(*ID_RANGE)

    def hex(self, size_bytes: int) -> str:
        """Random hexadecimal digits."""
        return self.rng.randbytes(size_bytes).hex()

    def uuid(self) -> str:
        """A random identifier in the shape of a UUID."""
        digits = self.hex(16)
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    def lines(self, wanted: Iterable[NewLine]) -> list[Line]:
        """Lines for new goods.

        Raises:
            ValueError: A quantity below one.
        """
        return [self._line(sku, quantity, price) for sku, quantity, price in wanted]

    def basket(self, wanted: Sequence[NewLine]) -> Basket:
        """A new order's basket."""
        now = self.clock().replace(microsecond=0)
        return Basket(self.lines(wanted), created_at=now, updated_at=now)

    def _line(self, sku: str | None, quantity: int, price: str | Decimal) -> Line:
        if quantity < 1:
            raise ValueError(f"A line needs a quantity of at least one, not {quantity}.")
        name = f"Product {sku}" if sku else "Product without SKU"
        return Line(self.id(), sku, name, quantity, quantity, Decimal(price), self.id(), self.id())


def money(amount: Decimal) -> str:
    """An amount as a decimal string with two places, rounded half up."""
    return str(amount.quantize(CENT, ROUND_HALF_UP))


def edit_basket(
    basket: Basket,
    source: Source,
    *,
    quantities: dict[str | int, int] | None = None,
    remove: Iterable[str | int] = (),
    add: Iterable[NewLine] = (),
) -> dict[int, int]:
    """Change an order's lines, by SKU or line id, and return the change of each line's quantity by its id.

    Raises:
        LookupError: An unknown or ambiguous SKU.
        ValueError: A negative quantity, or an order that was cancelled.
    """
    if basket.cancelled_at is not None:
        raise ValueError("A cancelled order cannot be edited.")
    targets = {**(quantities or {}), **dict.fromkeys(remove, 0)}
    if any(quantity < 0 for quantity in targets.values()):
        raise ValueError("A quantity cannot be negative.")
    changes: dict[int, int] = {}
    for key, quantity in targets.items():
        line = basket.line(key)
        changes[line.id] = quantity - line.current
        # Raised lines count as ordered; lowered ones keep what was ordered first.
        line.ordered = max(line.ordered, line.ordered + quantity - line.current)
        line.current = quantity
    for line in source.lines(add):
        basket.lines.append(line)
        changes[line.id] = line.current
    basket.touch(source.clock())
    return changes
