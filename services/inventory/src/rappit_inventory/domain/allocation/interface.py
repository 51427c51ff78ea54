"""What every strategy is."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from rappit_inventory.domain.stock import Level, Shelves

Picks = dict[tuple[UUID, UUID], int]
"""Units by (SKU, warehouse)."""

Rank = tuple[int, int, int, str, UUID]
"""Sorts warehouses: how far, how little alike the postcodes are, priority, and then code and id, so that no two tie."""

_UNKNOWN_COUNTRY = "ZZ"
_MAX_POSTAL_CHARACTERS = 20


@dataclass(frozen=True, slots=True)
class Destination:
    """Where an order goes, as far as distance is concerned. Made by :meth:`of` from what people wrote."""

    country_code: str
    postal_code: str | None = None

    @classmethod
    def of(cls, country_code: str | None, postal_code: str | None) -> "Destination | None":
        """Return a destination that can be compared, or None when not even the country is known."""
        country = (country_code or "").strip().upper()
        is_code = len(country) == len(_UNKNOWN_COUNTRY) and country.isascii() and country.isalpha()
        if not is_code or country == _UNKNOWN_COUNTRY:
            return None
        return cls(country, comparable(postal_code))


def comparable(postal_code: str | None) -> str | None:
    """Return a postcode without what people write differently: case, spaces and hyphens."""
    kept = "".join(letter for letter in (postal_code or "").upper() if letter.isascii() and letter.isalnum())
    return kept[:_MAX_POSTAL_CHARACTERS] or None


class Allocator(Protocol):
    """Chooses among warehouses that together have what an order needs."""

    def rank(self, level: Level, destination: Destination | None) -> Rank:
        """Return what sorts warehouses: the one that ships first at the front."""
        ...

    def choose(
        self,
        needs: Mapping[UUID, int],
        shelves: Shelves,
        holding: AbstractSet[UUID],
        destination: Destination | None,
    ) -> Picks:
        """Return a place for all of ``needs``, of which enough is known to be free.

        Args:
            needs: Units by SKU, each above zero.
            shelves: The levels to choose from; not changed.
            holding: Warehouses that already hold a part of the order.
            destination: Where the order goes, as far as that is known.
        """
        ...
