"""Levels read out whole, part by part."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

# By key, so that each part costs as much as the first. A server-side cursor would keep a transaction open for as long
# as the slowest reader reads, and levels go on moving meanwhile either way.
_PART = text("""
    SELECT l.sku_id, l.warehouse_id, s.code, l.quantity_total, w.code AS warehouse_code, l.quantity_reserved,
           l.quantity_available, l.quantity_damaged, l.quantity_quarantined, s.name
    FROM (
        SELECT * FROM inventory_levels
        WHERE organization_id = :organization_id AND (sku_id, warehouse_id) > (:sku_id, :warehouse_id)
          AND (CAST(:only AS uuid) IS NULL OR warehouse_id = :only)
        ORDER BY sku_id, warehouse_id LIMIT :limit
    ) AS l
    CROSS JOIN LATERAL (
        SELECT code, name FROM skus WHERE organization_id = :organization_id AND id = l.sku_id LIMIT 1
    ) AS s
    CROSS JOIN LATERAL (
        SELECT code FROM warehouses WHERE organization_id = :organization_id AND id = l.warehouse_id LIMIT 1
    ) AS w
    ORDER BY l.sku_id, l.warehouse_id
""")
_NOTHING = UUID(int=0)


class ExportRepository:
    """Reads one organization's levels in the order of their keys."""

    def __init__(self, session: AsyncSession, organization_id: UUID) -> None:
        self._session = session
        self._organization_id = organization_id

    async def levels(self, *, after: tuple[UUID, UUID] | None, warehouse_id: UUID | None, limit: int) -> Sequence[Any]:
        """Return the next levels: SKU id, warehouse id, then the columns of the file in its order."""
        sku_id, place = after or (_NOTHING, _NOTHING)
        parameters = {"organization_id": self._organization_id, "sku_id": sku_id, "warehouse_id": place}
        rows = await self._session.execute(_PART, {**parameters, "only": warehouse_id, "limit": limit})
        return rows.all()
