"""Imports of levels: COPY into a staging table, then a fixed number of set-based statements, however many rows.

A fast path: by COPY and sets a million rows take seconds where row by row they would take an hour. The staging tables
are temporary, so they are private to the transaction and vanish with it.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from rappit_common.messaging.events import EVENTS_EXCHANGE, HEADER_ORGANIZATION
from rappit_common.tracing import TRACEPARENT, current_traceparent
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from rappit_inventory.domain.stock import MovementKind, Source
from rappit_inventory.domain.stock_file import RowError
from rappit_inventory.messages import MAX_CHANGES, StockChanged, StockLow

_COLUMNS = ("line", "sku", "warehouse_code", "quantity")

_STAGING = text("""
    CREATE TEMPORARY TABLE import_rows (
        line int, sku text, warehouse_code text, quantity bigint,
        sku_key text GENERATED ALWAYS AS (lower(sku)) STORED,
        warehouse_key text GENERATED ALWAYS AS (lower(warehouse_code)) STORED
    ) ON COMMIT DROP
""")
_PLAN_TABLE = text("""
    CREATE TEMPORARY TABLE import_plan (
        line int, sku text, warehouse_code text, quantity bigint, sku_id uuid, warehouse_id uuid,
        known_sku text, known_warehouse text, first_line int, total_before bigint, reserved bigint,
        damaged bigint, quarantined bigint, error text
    ) ON COMMIT DROP
""")
_ANALYZE_ROWS = text("ANALYZE import_rows")
_ANALYZE_PLAN = text("ANALYZE import_plan")

# Right after a first load the server has no statistics of our tables yet, and may guess that looping over a whole table
# for each row is cheap. For many rows it never is, and a few rows need the loop (over an index).
_LARGE_ROWS = 20_000
_NO_LOOPS = text("SET LOCAL enable_nestloop = off")

_RESOLVE = text("""
    INSERT INTO import_plan (line, sku, warehouse_code, quantity, sku_id, warehouse_id, known_sku, known_warehouse,
                             first_line, error)
    SELECT line, sku, warehouse_code, quantity, sku_id, warehouse_id, known_sku, known_warehouse, first_line,
           CASE WHEN sku_id IS NULL THEN 'unknown_sku' WHEN warehouse_id IS NULL THEN 'unknown_warehouse'
                WHEN NOT warehouse_active THEN 'inactive_warehouse'
                WHEN line > first_line THEN 'duplicate_row' END
    FROM (
        SELECT r.*, s.id AS sku_id, w.id AS warehouse_id, s.code AS known_sku, w.code AS known_warehouse,
               w.active AS warehouse_active,
               min(r.line) OVER (PARTITION BY s.id, w.id) AS first_line
        FROM import_rows r
        LEFT JOIN skus s ON s.organization_id = :organization_id AND s.code_key = r.sku_key
        LEFT JOIN warehouses w ON w.organization_id = :organization_id AND w.code_key = r.warehouse_key
    ) AS resolved
""")

_HAS_NEW = text("""
    SELECT EXISTS (SELECT FROM import_plan p WHERE p.error IS NULL AND NOT EXISTS (
        SELECT FROM inventory_levels l
        WHERE l.organization_id = :organization_id AND l.sku_id = p.sku_id AND l.warehouse_id = p.warehouse_id))
""")

_LOCK = text("""
    WITH locked AS MATERIALIZED (
        SELECT l.sku_id, l.warehouse_id, l.quantity_total, l.quantity_reserved, l.quantity_damaged,
               l.quantity_quarantined
        FROM inventory_levels l
        JOIN import_plan p ON p.sku_id = l.sku_id AND p.warehouse_id = l.warehouse_id AND p.error IS NULL
        WHERE l.organization_id = :organization_id
        ORDER BY l.sku_id, l.warehouse_id
        FOR UPDATE OF l
    )
    UPDATE import_plan p
    SET total_before = locked.quantity_total, reserved = locked.quantity_reserved, damaged = locked.quantity_damaged,
        quarantined = locked.quantity_quarantined,
        error = CASE WHEN p.quantity < locked.quantity_reserved + locked.quantity_damaged + locked.quantity_quarantined
                     THEN 'below_reserved' END
    FROM locked
    WHERE p.sku_id = locked.sku_id AND p.warehouse_id = locked.warehouse_id AND p.error IS NULL
""")

_COUNT = text("""
    SELECT count(*) FILTER (WHERE error IS NOT NULL) AS failed,
           count(*) FILTER (WHERE error IS NULL AND total_before IS DISTINCT FROM quantity) AS updated,
           count(*) FILTER (WHERE error IS NULL AND total_before = quantity) AS unchanged
    FROM import_plan
""")

_REFUSED = text("""
    SELECT line, sku, warehouse_code, quantity, error, first_line, reserved, damaged + quarantined AS unavailable
    FROM import_plan WHERE error IS NOT NULL ORDER BY line LIMIT :limit
""")

_UPDATE = text("""
    UPDATE inventory_levels l
    SET quantity_total = p.quantity, updated_at = :now,
        quantity_available = p.quantity - l.quantity_reserved - l.quantity_damaged - l.quantity_quarantined
    FROM import_plan p
    WHERE l.organization_id = :organization_id AND l.sku_id = p.sku_id AND l.warehouse_id = p.warehouse_id
      AND p.error IS NULL AND p.total_before <> p.quantity
""")

_INSERT = text("""
    INSERT INTO inventory_levels (organization_id, sku_id, warehouse_id, quantity_total, quantity_reserved,
                                  quantity_available, updated_at)
    SELECT :organization_id, sku_id, warehouse_id, quantity, 0, quantity, :now
    FROM import_plan WHERE error IS NULL AND total_before IS NULL
    ORDER BY sku_id, warehouse_id
""")

_LEDGER = text("""
    INSERT INTO stock_ledger (organization_id, at, sku_id, warehouse_id, kind, actor, reason, source_type, source_id,
                              total_before, total_after, reserved_before, reserved_after, damaged_before,
                              damaged_after, quarantined_before, quarantined_after, trace_id)
    SELECT :organization_id, :now, sku_id, warehouse_id, :kind, :actor, :reason, :source_type, :source_id,
           coalesce(total_before, 0), quantity, coalesce(reserved, 0), coalesce(reserved, 0), coalesce(damaged, 0),
           coalesce(damaged, 0), coalesce(quarantined, 0), coalesce(quarantined, 0), :trace_id
    FROM import_plan WHERE error IS NULL AND total_before IS DISTINCT FROM quantity
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
                'available', c.quantity - c.reserved - c.unavailable)),
            'occurred_at', CAST(:occurred_at AS text))::text AS body
        FROM (
            SELECT known_sku, known_warehouse, quantity, coalesce(reserved, 0) AS reserved,
                   coalesce(damaged + quarantined, 0) AS unavailable,
                   (row_number() OVER () - 1) / :part AS part
            FROM import_plan
            WHERE error IS NULL AND total_before IS DISTINCT FROM quantity
        ) AS c GROUP BY c.part
    ) AS e
""")

_AWAITED = text("""
    SELECT DISTINCT p.sku_id FROM import_plan p
    WHERE p.error IS NULL AND p.quantity > coalesce(p.total_before, 0) AND EXISTS (
        SELECT FROM demand_lines w
        WHERE w.organization_id = :organization_id AND w.sku_id = p.sku_id AND w.waiting_since IS NOT NULL)
    ORDER BY p.sku_id
""")


@dataclass(frozen=True, slots=True)
class ImportCounts:
    """Rows of a plan by what becomes of them."""

    failed: int
    updated: int
    unchanged: int


class ImportRepository:
    """One import of one organization; its methods are called in the order in which they stand here."""

    def __init__(self, session: AsyncSession, organization_id: UUID) -> None:
        self._session = session
        self._organization_id = organization_id

    async def _run(self, statement: Any, **parameters: Any) -> Any:
        return await self._session.execute(statement, {"organization_id": self._organization_id, **parameters})

    async def stage(self, rows: AsyncIterator[tuple[int, str, str, int]]) -> None:
        """Take in rows (line, SKU, warehouse code, quantity) as they come and find what they name. Locks nothing."""
        await self._session.execute(_STAGING)
        await self._session.execute(_PLAN_TABLE)
        connection = await (await self._session.connection()).get_raw_connection()
        driver: Any = connection.driver_connection
        copied: str = await driver.copy_records_to_table("import_rows", records=rows, columns=_COLUMNS)
        if int(copied.rpartition(" ")[2]) > _LARGE_ROWS:
            await self._session.execute(_NO_LOOPS)
        await self._session.execute(_ANALYZE_ROWS)
        await self._run(_RESOLVE)
        await self._session.execute(_ANALYZE_PLAN)

    async def has_new_levels(self) -> bool:
        """Tell whether a row needs a level that does not exist yet."""
        return bool((await self._run(_HAS_NEW)).scalar_one())

    async def lock(self) -> ImportCounts:
        """Lock the levels concerned, in the one fixed order, and refuse rows below what is reserved."""
        await self._run(_LOCK)
        await self._session.execute(_ANALYZE_PLAN)
        row = (await self._session.execute(_COUNT)).one()
        return ImportCounts(row.failed, row.updated, row.unchanged)

    async def refused(self, limit: int) -> list[RowError]:
        """Return the first refused rows, by line."""
        return [_error(row) for row in await self._session.execute(_REFUSED, {"limit": limit})]

    async def apply(self, source: Source, now: datetime) -> None:
        """Write the levels that differ, and the ledger."""
        await self._run(_UPDATE, now=now)
        await self._run(_INSERT, now=now)
        await self._run(
            _LEDGER,
            now=now,
            kind=MovementKind.IMPORT.value,
            actor=source.actor,
            reason=source.reason,
            source_type=source.kind,
            source_id=source.id,
            trace_id=source.trace_id,
        )

    async def announce(self, headers: str, now: datetime) -> None:
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

    async def announce_low(self, source: Source, headers: str, now: datetime) -> None:
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


def _error(row: Any) -> RowError:
    if row.error == "unknown_sku":
        message = f"Unknown SKU {row.sku}: add it to the catalogue first."
        return RowError(row.line, "sku", row.error, message, row.sku)
    if row.error == "unknown_warehouse":
        message = f"Unknown warehouse {row.warehouse_code}: add it first."
        return RowError(row.line, "warehouse_code", row.error, message, row.warehouse_code)
    if row.error == "inactive_warehouse":
        message = f"Warehouse {row.warehouse_code} is not active: activate it first."
        return RowError(row.line, "warehouse_code", row.error, message, row.warehouse_code)
    if row.error == "duplicate_row":
        message = f"SKU {row.sku} in {row.warehouse_code} stands on line {row.first_line} already."
        return RowError(row.line, "sku", row.error, message, row.sku)
    kept = f"{row.reserved} reserved" + (f" and {row.unavailable} unavailable" if row.unavailable else "")
    message = f"SKU {row.sku} has {kept} in {row.warehouse_code}; the quantity cannot be {row.quantity}."
    return RowError(row.line, "quantity", row.error, message, str(row.quantity))
