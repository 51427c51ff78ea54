"""What may be sold of some SKUs, by code."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from rappit_inventory.domain.availability import Availability, AvailableLevel

# Look-ups by key, whatever the statistics say (repository/levels.py).
_READ = text("""
    SELECT c.code AS asked, s.id AS sku_id, s.code AS sku, l.warehouse_code, l.in_transit,
           CASE WHEN s.active AND l.active THEN l.quantity_available ELSE 0 END AS available,
           CASE WHEN s.active AND l.active THEN greatest(l.quantity_available - l.safety_stock, 0) ELSE 0 END
               AS for_channels
    FROM (SELECT code, lower(code) AS key FROM unnest(CAST(:codes AS text[])) AS u(code) OFFSET 0) AS c
    CROSS JOIN LATERAL (
        SELECT id, code, active FROM skus WHERE organization_id = :organization_id AND code_key = c.key LIMIT 1
    ) AS s
    LEFT JOIN LATERAL (
        SELECT w.code AS warehouse_code, w.active, w.priority, v.quantity_available, v.safety_stock, (
            SELECT coalesce(sum(t.quantity_in_transit), 0) FROM transfer_lines t
            WHERE t.organization_id = :organization_id AND t.sku_id = s.id AND t.target_id = v.warehouse_id
              AND t.quantity_in_transit > 0
        ) AS in_transit
        FROM inventory_levels v
        CROSS JOIN LATERAL (
            SELECT code, active, priority FROM warehouses
            WHERE organization_id = :organization_id AND id = v.warehouse_id LIMIT 1
        ) AS w
        WHERE v.organization_id = :organization_id AND v.sku_id = s.id
    ) AS l ON TRUE
    ORDER BY c.code, l.priority, l.warehouse_code
""")


class AvailabilityRepository:
    """Reads what one organization may sell."""

    def __init__(self, session: AsyncSession, organization_id: UUID) -> None:
        self._session = session
        self._organization_id = organization_id

    async def read(self, codes: Iterable[str]) -> dict[str, Availability]:
        """Return the availability of SKUs by the codes asked for, without regard to case; unknown ones are absent."""
        parameters = {"organization_id": self._organization_id, "codes": sorted(set(codes))}
        levels: dict[str, list[AvailableLevel]] = {}
        skus: dict[str, tuple[UUID, str]] = {}
        for row in await self._session.execute(_READ, parameters):
            skus[row.asked] = (row.sku_id, row.sku)
            found = levels.setdefault(row.asked, [])
            if row.warehouse_code is not None:
                found.append(AvailableLevel(row.warehouse_code, row.available, row.for_channels, int(row.in_transit)))
        return {asked: Availability(*sku, tuple(levels[asked])) for asked, sku in skus.items()}
