"""Levels and their ledger."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from rappit_inventory.domain.stock import Level, Shelves
from rappit_inventory.models import InventoryLevel, Sku, Warehouse

# Each LATERAL below, and each upsert of rows that exist, pins the plan to one look-up by key a row. As plain joins they
# read all of an organization's rows whenever statistics lag behind (40 times slower on 5,000 SKUs after a first load).
_READ_SQL = """
    SELECT l.sku_id, l.warehouse_id, s.code AS sku_code, w.code AS warehouse_code, w.priority,
           l.quantity_total, l.quantity_reserved
    FROM unnest(CAST(:sku_ids AS uuid[])) AS k(sku_id)
    CROSS JOIN LATERAL (
        SELECT * FROM inventory_levels
        WHERE organization_id = :organization_id AND sku_id = k.sku_id
        ORDER BY warehouse_id {lock}
    ) AS l
    CROSS JOIN LATERAL (
        SELECT code FROM skus WHERE organization_id = :organization_id AND id = k.sku_id LIMIT 1
    ) AS s
    CROSS JOIN LATERAL (
        SELECT code, priority FROM warehouses
        WHERE organization_id = :organization_id AND id = l.warehouse_id LIMIT 1
    ) AS w
"""
_READ = text(_READ_SQL.format(lock=""))
# Locked in the order of the array, which is sorted, and then by warehouse.
_LOCK = text(_READ_SQL.format(lock="FOR UPDATE"))

_WRITE = text("""
    INSERT INTO inventory_levels (organization_id, sku_id, warehouse_id, quantity_total, quantity_reserved,
                                  quantity_available, updated_at)
    SELECT :organization_id, n.sku_id, n.warehouse_id, n.total, n.reserved, n.total - n.reserved, :now
    FROM unnest(CAST(:sku_ids AS uuid[]), CAST(:warehouse_ids AS uuid[]),
                CAST(:totals AS bigint[]), CAST(:reserved AS bigint[])) AS n(sku_id, warehouse_id, total, reserved)
    ON CONFLICT (organization_id, sku_id, warehouse_id) DO UPDATE
    SET quantity_total = excluded.quantity_total, quantity_reserved = excluded.quantity_reserved,
        quantity_available = excluded.quantity_available, updated_at = excluded.updated_at
""")

_LEDGER = text("""
    INSERT INTO stock_ledger (organization_id, at, sku_id, warehouse_id, kind, actor, reason, source_type, source_id,
                              total_before, total_after, reserved_before, reserved_after, trace_id)
    SELECT :organization_id, :now, n.*
    FROM unnest(CAST(:sku_ids AS uuid[]), CAST(:warehouse_ids AS uuid[]), CAST(:kinds AS text[]),
                CAST(:actors AS text[]), CAST(:reasons AS text[]), CAST(:source_types AS text[]),
                CAST(:source_ids AS uuid[]), CAST(:total_before AS bigint[]), CAST(:total_after AS bigint[]),
                CAST(:reserved_before AS bigint[]), CAST(:reserved_after AS bigint[]), CAST(:trace_ids AS text[])) AS n
""")

_ENSURE = text("""
    INSERT INTO inventory_levels (organization_id, sku_id, warehouse_id, quantity_total, quantity_reserved,
                                  quantity_available, updated_at)
    VALUES (:organization_id, :sku_id, :warehouse_id, 0, 0, 0, :now)
    ON CONFLICT DO NOTHING
""")


class LevelRepository:
    """Reads, locks and writes one organization's levels."""

    def __init__(self, session: AsyncSession, organization_id: UUID) -> None:
        self._session = session
        self._organization_id = organization_id

    async def exists(self, sku_id: UUID, warehouse_id: UUID) -> bool:
        """Tell whether a SKU has ever lain in a warehouse; levels are never removed."""
        statement = select(InventoryLevel.sku_id).where(
            InventoryLevel.sku_id == sku_id, InventoryLevel.warehouse_id == warehouse_id
        )
        return (await self._session.scalar(statement)) is not None

    async def ensure(self, sku_id: UUID, warehouse_id: UUID, now: datetime) -> None:
        """Make an empty level when there is none. The caller holds the catalogue lock exclusively."""
        await self._session.execute(
            _ENSURE,
            {
                "organization_id": self._organization_id,
                "sku_id": sku_id,
                "warehouse_id": warehouse_id,
                "now": now,
            },
        )

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
                    "trace_ids": [m.source.trace_id for m in moves],
                },
            )

    async def page(
        self, *, sku: str | None, warehouse_code: str | None, limit: int, after: tuple[UUID, UUID] | None
    ) -> Sequence[tuple[UUID, UUID, str, str, int, int, int]]:
        """Return levels in the order of their keys: SKU id, warehouse id, codes, total, reserved, available."""
        level = InventoryLevel
        statement = (
            select(
                level.sku_id,
                level.warehouse_id,
                Sku.code,
                Warehouse.code,
                level.quantity_total,
                level.quantity_reserved,
                level.quantity_available,
            )
            .join(Sku, (Sku.organization_id == level.organization_id) & (Sku.id == level.sku_id))
            .join(
                Warehouse,
                (Warehouse.organization_id == level.organization_id) & (Warehouse.id == level.warehouse_id),
            )
            .order_by(level.sku_id, level.warehouse_id)
            .limit(limit)
        )
        if sku is not None:
            statement = statement.where(text("skus.code_key = lower(:sku)").bindparams(sku=sku.strip()))
        if warehouse_code is not None:
            code = warehouse_code.strip()
            statement = statement.where(text("warehouses.code_key = lower(:code)").bindparams(code=code))
        if after is not None:
            # Compared as a row, so that the key's index finds the place at once.
            position = text("(inventory_levels.sku_id, inventory_levels.warehouse_id) > (:after_sku, :after_warehouse)")
            statement = statement.where(position.bindparams(after_sku=after[0], after_warehouse=after[1]))
        return list(await self._session.execute(statement))
