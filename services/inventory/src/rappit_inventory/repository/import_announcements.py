"""What the world is told of an import: written by set-based statements from its plan, as imports.py writes levels."""

from datetime import datetime
from typing import Any
from uuid import UUID

from rappit_common.messaging.events import EVENTS_EXCHANGE, HEADER_ORGANIZATION
from rappit_common.tracing import TRACEPARENT, current_traceparent
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from rappit_inventory.domain.stock import Source
from rappit_inventory.messages import MAX_CHANGES, StockChanged, StockLow

# Written as the outbox writes any event, but without bringing a million levels into this process.
_ANNOUNCE = text("""
    INSERT INTO outbox (id, organization_id, event, exchange, routing_key, message_id, content_type, headers, body,
                        mandatory)
    SELECT e.id, :organization_id, :event, :exchange, :event, e.id::text, 'application/json',
           CAST(:headers AS jsonb), convert_to(e.body, 'UTF8'), :mandatory
    FROM (
        SELECT gen_random_uuid() AS id, json_build_object(
            'organization_id', CAST(:organization_id AS uuid), 'changes', json_agg(json_build_object(
                'sku', c.known_sku, 'warehouse_code', c.known_warehouse, 'on_hand', c.quantity, 'reserved', c.reserved,
                'available', c.available)),
            'occurred_at', CAST(:occurred_at AS text))::text AS body
        FROM (
            SELECT p.known_sku, p.known_warehouse, p.total_after AS quantity, coalesce(p.reserved, 0) AS reserved,
                   CASE WHEN s.id IS NULL THEN p.total_after - coalesce(p.reserved + p.damaged + p.quarantined, 0)
                        ELSE 0 END AS available,
                   (row_number() OVER () - 1) / :part AS part
            FROM import_plan p
            LEFT JOIN skus s ON s.organization_id = :organization_id AND s.id = p.sku_id AND NOT s.active
            WHERE p.error IS NULL AND p.total_before IS DISTINCT FROM p.total_after
        ) AS c GROUP BY c.part
    ) AS e
""")

# Driven by the levels that are low, which are few and indexed; what they were before, the ledger's new rows tell.
_ANNOUNCE_LOW = text("""
    INSERT INTO outbox (id, organization_id, event, exchange, routing_key, message_id, content_type, headers, body,
                        mandatory)
    SELECT e.id, :organization_id, :event, :exchange, :event, e.id::text, 'application/json',
           CAST(:headers AS jsonb), convert_to(e.body, 'UTF8'), :mandatory
    FROM (
        SELECT gen_random_uuid() AS id, json_build_object(
            'organization_id', CAST(:organization_id AS uuid), 'levels', json_agg(json_build_object(
                'sku', c.sku, 'warehouse_code', c.warehouse_code, 'available', c.quantity_available,
                'reorder_point', c.reorder_point)),
            'occurred_at', CAST(:occurred_at AS text))::text AS body
        FROM (
            SELECT s.code AS sku, w.code AS warehouse_code, l.quantity_available, l.reorder_point,
                   (row_number() OVER () - 1) / :part AS part
            FROM inventory_levels l
            CROSS JOIN LATERAL (
                SELECT total_before - reserved_before - damaged_before - quarantined_before AS available
                FROM stock_ledger
                WHERE organization_id = :organization_id AND sku_id = l.sku_id AND at = :now
                  AND warehouse_id = l.warehouse_id AND source_id = :source_id LIMIT 1
            ) AS before
            JOIN skus s ON s.organization_id = :organization_id AND s.id = l.sku_id
            JOIN warehouses w ON w.organization_id = :organization_id AND w.id = l.warehouse_id
            WHERE l.organization_id = :organization_id AND l.is_low AND before.available > l.reorder_point
        ) AS c GROUP BY c.part
    ) AS e
""")

_AWAITED = text("""
    SELECT DISTINCT p.sku_id FROM import_plan p
    WHERE p.error IS NULL AND p.total_after > coalesce(p.total_before, 0) AND EXISTS (
        SELECT FROM demand_lines w
        WHERE w.organization_id = :organization_id AND w.sku_id = p.sku_id AND w.waiting_since IS NOT NULL)
    ORDER BY p.sku_id
""")


class ImportAnnouncements:
    """Tells of one organization's import that was applied in this transaction."""

    def __init__(self, session: AsyncSession, organization_id: UUID) -> None:
        self._session = session
        self._organization_id = organization_id

    async def _run(self, statement: Any, **parameters: Any) -> Any:
        return await self._session.execute(statement, {"organization_id": self._organization_id, **parameters})

    async def changed(self, headers: str, now: datetime) -> None:
        """Write the events that tell of the changed levels to the outbox."""
        await self._run(
            _ANNOUNCE,
            event=StockChanged.event_name,
            exchange=EVENTS_EXCHANGE,
            headers=headers,
            mandatory=StockChanged.mandatory,
            occurred_at=now.isoformat().replace("+00:00", "Z"),
            part=MAX_CHANGES,
        )

    async def low(self, source: Source, headers: str, now: datetime) -> None:
        """Write the events that tell which levels this import has brought down to their reorder points."""
        await self._run(
            _ANNOUNCE_LOW,
            event=StockLow.event_name,
            exchange=EVENTS_EXCHANGE,
            headers=headers,
            mandatory=StockLow.mandatory,
            source_id=source.id,
            now=now,
            occurred_at=now.isoformat().replace("+00:00", "Z"),
            part=MAX_CHANGES,
        )

    async def awaited(self) -> list[UUID]:
        """Return the SKUs that grew and that an order waits for."""
        return list((await self._run(_AWAITED)).scalars())


def event_headers(organization_id: UUID) -> dict[str, str]:
    """Return the headers of an event of this organization that continues the current trace."""
    headers = {HEADER_ORGANIZATION: str(organization_id)}
    traceparent = current_traceparent()
    return headers if traceparent is None else {**headers, TRACEPARENT: traceparent}
