"""Levels to look at, page by page, and what is set for each by hand."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import bindparam, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from rappit_inventory.models import InventoryLevel


@dataclass(frozen=True, slots=True)
class LevelRow:
    """One level as it is shown."""

    sku_id: UUID
    warehouse_id: UUID
    sku: str
    warehouse_code: str
    quantity_total: int
    quantity_reserved: int
    quantity_available: int
    quantity_damaged: int
    quantity_quarantined: int
    quantity_in_transit: int
    reorder_point: int | None
    safety_stock: int
    is_low: bool


@dataclass(frozen=True, slots=True)
class LevelFilter:
    """Which levels: of some SKUs, in a warehouse, low ones only. None leaves a condition out."""

    sku_ids: Collection[UUID] | None = None
    warehouse_id: UUID | None = None
    low_only: bool = False


# The page is cut from an index first, and only its rows are joined.
_PAGE = """
    SELECT l.sku_id, l.warehouse_id, s.code AS sku, w.code AS warehouse_code, l.quantity_total, l.quantity_reserved,
           l.quantity_available, l.quantity_damaged, l.quantity_quarantined, (
               SELECT CAST(coalesce(sum(t.quantity_in_transit), 0) AS bigint) FROM transfer_lines t
               WHERE t.organization_id = :organization_id AND t.sku_id = l.sku_id AND t.target_id = l.warehouse_id
                 AND t.quantity_in_transit > 0
           ) AS quantity_in_transit, l.reorder_point, l.safety_stock, l.is_low
    FROM (
        SELECT * FROM inventory_levels
        WHERE organization_id = :organization_id {conditions}
        ORDER BY sku_id, warehouse_id LIMIT :limit
    ) AS l
    CROSS JOIN LATERAL (
        SELECT code FROM skus WHERE organization_id = :organization_id AND id = l.sku_id LIMIT 1
    ) AS s
    CROSS JOIN LATERAL (
        SELECT code FROM warehouses WHERE organization_id = :organization_id AND id = l.warehouse_id LIMIT 1
    ) AS w
    ORDER BY l.sku_id, l.warehouse_id
"""


class LevelListRepository:
    """Reads one organization's levels without locks."""

    def __init__(self, session: AsyncSession, organization_id: UUID) -> None:
        self._session = session
        self._organization_id = organization_id

    async def page(self, wanted: LevelFilter, *, limit: int, after: tuple[UUID, UUID] | None) -> Sequence[LevelRow]:
        """Return levels in the order of their keys."""
        conditions: list[str] = []
        parameters: dict[str, object] = {"organization_id": self._organization_id, "limit": limit}
        if wanted.sku_ids is not None:
            conditions.append("AND sku_id = ANY(CAST(:sku_ids AS uuid[]))")
            parameters["sku_ids"] = sorted(wanted.sku_ids)
        if wanted.warehouse_id is not None:
            conditions.append("AND warehouse_id = :warehouse_id")
            parameters["warehouse_id"] = wanted.warehouse_id
        if wanted.low_only:
            conditions.append("AND is_low")
        if after is not None:
            # Compared as a row, so that the key's index finds the place at once.
            conditions.append("AND (sku_id, warehouse_id) > (:after_sku, :after_warehouse)")
            parameters.update(after_sku=after[0], after_warehouse=after[1])
        rows = await self._session.execute(text(_PAGE.format(conditions=" ".join(conditions))), parameters)
        return [LevelRow(*row) for row in rows]

    async def set(self, sku_id: UUID, warehouse_id: UUID, settings: dict[str, int | None]) -> None:
        """Set a level's reorder point or safety stock. The caller holds the level's lock."""
        statement = (
            update(InventoryLevel)
            .where(InventoryLevel.sku_id == bindparam("of_sku"), InventoryLevel.warehouse_id == bindparam("of_place"))
            .values(**settings)
            .execution_options(synchronize_session=False)
        )
        await self._session.execute(statement, {"of_sku": sku_id, "of_place": warehouse_id})
