"""Levels and their ledger."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from rappit_inventory.domain.stock import Level, Shelves

# Each LATERAL below, and each upsert of rows that exist, pins the plan to one look-up by key a row. As plain joins they
# read all of an organization's rows whenever statistics lag behind (40 times slower on 5,000 SKUs after a first load).
_READ_SQL = """
    SELECT l.sku_id, l.warehouse_id, s.code AS sku_code, w.code AS warehouse_code, w.priority,
           l.quantity_total, l.quantity_reserved, l.quantity_damaged, l.quantity_quarantined, l.reorder_point,
           s.active AND w.active AS active, s.active AS sku_active, w.country_code, w.postal_code
    FROM unnest(CAST(:sku_ids AS uuid[])) AS k(sku_id)
    CROSS JOIN LATERAL (
        SELECT * FROM inventory_levels
        WHERE organization_id = :organization_id AND sku_id = k.sku_id
        ORDER BY warehouse_id {lock}
    ) AS l
    CROSS JOIN LATERAL (
        SELECT code, active FROM skus WHERE organization_id = :organization_id AND id = k.sku_id LIMIT 1
    ) AS s
    CROSS JOIN LATERAL (
        SELECT code, priority, active, coalesce(address->>'country_code', country_code) AS country_code,
               address->>'postal_code' AS postal_code
        FROM warehouses
        WHERE organization_id = :organization_id AND id = l.warehouse_id LIMIT 1
    ) AS w
"""
_READ = text(_READ_SQL.format(lock=""))
# Locked in the order of the array, which is sorted, and then by warehouse.
_LOCK = text(_READ_SQL.format(lock="FOR UPDATE"))

_WRITE = text("""
    INSERT INTO inventory_levels (organization_id, sku_id, warehouse_id, quantity_total, quantity_reserved,
                                  quantity_damaged, quantity_quarantined, quantity_available, updated_at)
    SELECT :organization_id, n.*, n.total - n.reserved - n.damaged - n.quarantined, :now
    FROM unnest(CAST(:sku_ids AS uuid[]), CAST(:warehouse_ids AS uuid[]), CAST(:totals AS bigint[]),
                CAST(:reserved AS bigint[]), CAST(:damaged AS bigint[]), CAST(:quarantined AS bigint[]))
         AS n(sku_id, warehouse_id, total, reserved, damaged, quarantined)
    ON CONFLICT (organization_id, sku_id, warehouse_id) DO UPDATE
    SET quantity_total = excluded.quantity_total, quantity_reserved = excluded.quantity_reserved,
        quantity_damaged = excluded.quantity_damaged, quantity_quarantined = excluded.quantity_quarantined,
        quantity_available = excluded.quantity_available, updated_at = excluded.updated_at
""")

_LEDGER = text("""
    INSERT INTO stock_ledger (organization_id, at, sku_id, warehouse_id, kind, actor, reason, source_type, source_id,
                              total_before, total_after, reserved_before, reserved_after, damaged_before,
                              damaged_after, quarantined_before, quarantined_after, reason_code, trace_id)
    SELECT :organization_id, :now, n.*
    FROM unnest(CAST(:sku_ids AS uuid[]), CAST(:warehouse_ids AS uuid[]), CAST(:kinds AS text[]),
                CAST(:actors AS text[]), CAST(:reasons AS text[]), CAST(:source_types AS text[]),
                CAST(:source_ids AS uuid[]), CAST(:total_before AS bigint[]), CAST(:total_after AS bigint[]),
                CAST(:reserved_before AS bigint[]), CAST(:reserved_after AS bigint[]),
                CAST(:damaged_before AS bigint[]), CAST(:damaged_after AS bigint[]),
                CAST(:quarantined_before AS bigint[]), CAST(:quarantined_after AS bigint[]),
                CAST(:reason_codes AS text[]), CAST(:trace_ids AS text[])) AS n
""")

_ENSURE = text("""
    INSERT INTO inventory_levels (organization_id, sku_id, warehouse_id, quantity_total, quantity_reserved,
                                  quantity_available, updated_at)
    SELECT :organization_id, n.sku_id, n.warehouse_id, 0, 0, 0, :now
    FROM unnest(CAST(:sku_ids AS uuid[]), CAST(:warehouse_ids AS uuid[])) AS n(sku_id, warehouse_id)
    ORDER BY n.sku_id, n.warehouse_id
    ON CONFLICT DO NOTHING
""")

_MISSING = text("""
    SELECT n.sku_id, n.warehouse_id
    FROM unnest(CAST(:sku_ids AS uuid[]), CAST(:warehouse_ids AS uuid[])) AS n(sku_id, warehouse_id)
    WHERE NOT EXISTS (SELECT FROM inventory_levels l WHERE l.organization_id = :organization_id
                      AND l.sku_id = n.sku_id AND l.warehouse_id = n.warehouse_id)
""")


class LevelRepository:
    """Reads, locks and writes one organization's levels."""

    def __init__(self, session: AsyncSession, organization_id: UUID) -> None:
        self._session = session
        self._organization_id = organization_id

    async def missing(self, keys: Collection[tuple[UUID, UUID]]) -> list[tuple[UUID, UUID]]:
        """Return those of some (SKU, warehouse) that were never a level; levels are never removed."""
        if not keys:
            return []
        return [(row.sku_id, row.warehouse_id) for row in await self._session.execute(_MISSING, self._keys(keys))]

    async def ensure(self, keys: Collection[tuple[UUID, UUID]], now: datetime) -> None:
        """Make empty levels where there are none. The caller holds the catalogue lock exclusively."""
        await self._session.execute(_ENSURE, {**self._keys(keys), "now": now})

    def _keys(self, keys: Collection[tuple[UUID, UUID]]) -> dict[str, Any]:
        return {
            "organization_id": self._organization_id,
            "sku_ids": [sku_id for sku_id, _ in keys],
            "warehouse_ids": [warehouse_id for _, warehouse_id in keys],
        }

    async def lock(self, sku_ids: Iterable[UUID]) -> Shelves:
        """Lock every level of some SKUs, in the one fixed order, and return them."""
        wanted = sorted(set(sku_ids))
        if not wanted:
            return Shelves([])
        rows = await self._session.execute(_LOCK, {"organization_id": self._organization_id, "sku_ids": wanted})
        return Shelves(Level(*row) for row in rows)

    async def read(self, sku_ids: Iterable[UUID]) -> Shelves:
        """Return every level of some SKUs as it is, without a lock."""
        parameters = {"organization_id": self._organization_id, "sku_ids": sorted(set(sku_ids))}
        return Shelves(Level(*row) for row in await self._session.execute(_READ, parameters))

    async def save(self, shelves: Shelves, now: datetime) -> None:
        """Write the levels that moved and a row of the ledger for each movement, in two statements however many."""
        changed = list(shelves.changed())
        if changed:
            await self._session.execute(
                _WRITE,
                {
                    "organization_id": self._organization_id,
                    "now": now,
                    "sku_ids": [x.sku_id for x in changed],
                    "warehouse_ids": [x.warehouse_id for x in changed],
                    "totals": [x.total for x in changed],
                    "reserved": [x.reserved for x in changed],
                    "damaged": [x.damaged for x in changed],
                    "quarantined": [x.quarantined for x in changed],
                },
            )
        moves = shelves.movements
        if moves:
            await self._session.execute(
                _LEDGER,
                {
                    "organization_id": self._organization_id,
                    "now": now,
                    "sku_ids": [m.sku_id for m in moves],
                    "warehouse_ids": [m.warehouse_id for m in moves],
                    "kinds": [m.kind.value for m in moves],
                    "actors": [m.source.actor for m in moves],
                    "reasons": [m.source.reason for m in moves],
                    "source_types": [m.source.kind for m in moves],
                    "source_ids": [m.source.id for m in moves],
                    "total_before": [m.total_before for m in moves],
                    "total_after": [m.total_after for m in moves],
                    "reserved_before": [m.reserved_before for m in moves],
                    "reserved_after": [m.reserved_after for m in moves],
                    "damaged_before": [m.damaged_before for m in moves],
                    "damaged_after": [m.damaged_after for m in moves],
                    "quarantined_before": [m.quarantined_before for m in moves],
                    "quarantined_after": [m.quarantined_after for m in moves],
                    "reason_codes": [m.source.reason_code for m in moves],
                    "trace_ids": [m.source.trace_id for m in moves],
                },
            )
