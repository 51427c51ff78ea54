"""Levels to look at, page by page, and what is set for each by hand."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from rappit_common.messaging.events import EVENTS_EXCHANGE
from sqlalchemy import bindparam, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from rappit_inventory.messages import MAX_CHANGES, StockChanged
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

# A warehouse may hold a million levels: told in SQL, as an import's are, and only of what could be sold.
_ANNOUNCE_WAREHOUSE = text("""
    INSERT INTO outbox (id, organization_id, event, exchange, routing_key, message_id, content_type, headers, body,
                        mandatory)
    SELECT e.id, :organization_id, :event, :exchange, :event, e.id::text, 'application/json',
           CAST(:headers AS jsonb), convert_to(e.body, 'UTF8'), :mandatory
    FROM (
        SELECT gen_random_uuid() AS id, json_build_object(
            'organization_id', CAST(:organization_id AS uuid), 'changes', json_agg(json_build_object(
                'sku', c.sku, 'warehouse_code', c.warehouse_code, 'on_hand', c.quantity_total,
                'reserved', c.quantity_reserved, 'available', c.available)),
            'occurred_at', CAST(:occurred_at AS text))::text AS body
        FROM (
            SELECT s.code AS sku, w.code AS warehouse_code, l.quantity_total, l.quantity_reserved,
                   CASE WHEN w.active THEN l.quantity_available ELSE 0 END AS available,
                   (row_number() OVER () - 1) / :part AS part
            FROM inventory_levels l
            JOIN skus s ON s.organization_id = :organization_id AND s.id = l.sku_id
            JOIN warehouses w ON w.organization_id = :organization_id AND w.id = l.warehouse_id
            WHERE l.organization_id = :organization_id AND l.warehouse_id = :warehouse_id
              AND l.quantity_available > 0 AND s.active
        ) AS c GROUP BY c.part
    ) AS e
""")


class LevelListRepository:
    """Reads one organization's levels without locks."""

    def __init__(self, session: AsyncSession, organization_id: UUID) -> None:
        self._session = session
        self._organization_id = organization_id

    async def page(self, wanted: LevelFilter, *, limit: int, after: tuple[UUID, UUID] | None) -> Sequence[LevelRow]:
        """Return levels in the order of their keys."""
        conditions: list[str] = []
        parameters: dict[str, object] = {"organization_id": self._organization_id, "limit": limit}
        if wanted.warehouse_id is not None:
            conditions.append("AND warehouse_id = :warehouse_id")
            parameters["warehouse_id"] = wanted.warehouse_id
        if wanted.low_only:
            conditions.append("AND is_low")
        if after is not None:
            parameters.update(after_sku=after[0], after_warehouse=after[1])
        if wanted.sku_ids is not None:
            # With a list of SKUs the index would walk on from the place once for each: the list is cut here instead.
            parameters["sku_ids"] = sorted(x for x in wanted.sku_ids if after is None or x >= after[0])
            conditions.append("AND sku_id = ANY(CAST(:sku_ids AS uuid[]))")
            if after is not None:
                conditions.append("AND NOT (sku_id = :after_sku AND warehouse_id <= :after_warehouse)")
        elif after is not None:
            # Compared as a row, so that the key's index finds the place at once.
            conditions.append("AND (sku_id, warehouse_id) > (:after_sku, :after_warehouse)")
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

    async def announce_warehouse(self, warehouse_id: UUID, headers: str, now: datetime) -> None:
        """Write the events that tell what may be sold from a warehouse to the outbox."""
        await self._session.execute(
            _ANNOUNCE_WAREHOUSE,
            {
                "organization_id": self._organization_id,
                "warehouse_id": warehouse_id,
                "event": StockChanged.event_name,
                "exchange": EVENTS_EXCHANGE,
                "headers": headers,
                "mandatory": StockChanged.mandatory,
                "occurred_at": now.isoformat().replace("+00:00", "Z"),
                "part": MAX_CHANGES,
            },
        )
