"""Tell what may be sold, to many who ask often."""

from collections.abc import Iterable

from rappit_inventory.domain.availability import Availability
from rappit_inventory.unit import InventoryUnit, availability_cache


async def look_up(unit: InventoryUnit, codes: Iterable[str]) -> dict[str, Availability]:
    """Return the availability of SKUs by the codes asked for; unknown ones are absent.

    It may be two seconds old (see :class:`AvailabilityCache`).
    """
    asked = {code.strip() for code in codes}
    remembered = {code: availability_cache.get(unit.organization_id, code) for code in asked}
    found = {code: known for code, known in remembered.items() if known is not None}
    missing = asked - found.keys()
    if missing:
        generation = availability_cache.generation
        for code, fresh in (await unit.availability.read(missing)).items():
            availability_cache.put(unit.organization_id, code, fresh, generation=generation)
            found[code] = fresh
    return found
