"""Turn what a person filters levels or the ledger by into ids."""

from uuid import UUID

from rappit_inventory.repository.level_list import LevelFilter
from rappit_inventory.service.catalogue import search_skus
from rappit_inventory.unit import InventoryUnit


async def find_levels(
    unit: InventoryUnit, *, sku: str | None, warehouse_code: str | None, text: str | None, low_only: bool
) -> LevelFilter | None:
    """Return the filter that is meant, or None when it names what is not there, so that nothing can match.

    Raises:
        TooManyMatchesError: More than 1,000 SKUs begin with the text.
    """
    sku_ids: set[UUID] | None = None
    if sku is not None:
        sku_ids = set((await unit.catalogue.resolve([sku.strip()])).values())
    if text is not None:
        matching = set(await search_skus(unit, text))
        sku_ids = matching if sku_ids is None else sku_ids & matching
    warehouse_id: UUID | None = None
    if warehouse_code is not None:
        warehouse = await unit.catalogue.warehouse(warehouse_code)
        if warehouse is None:
            return None
        warehouse_id = warehouse.id
    if sku_ids is not None and not sku_ids:
        return None
    return LevelFilter(sku_ids, warehouse_id, low_only)
