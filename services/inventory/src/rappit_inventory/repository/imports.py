"""Imports of levels: COPY into a staging table, then a fixed number of set-based statements, however many rows.

A fast path: by COPY and sets a million rows take seconds where row by row they would take an hour. The staging tables
are temporary, so they are private to the transaction and vanish with it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from rappit_inventory.domain.imports import ImportMode
from rappit_inventory.domain.stock import MAX_QUANTITY, MovementKind, Source
from rappit_inventory.domain.table_file import RowError
from rappit_inventory.repository.staging import (
    COPIED_ERROR_COLUMNS,
    CopiedRows,
    copy_rows,
    keep_copied_errors,
    store_errors,
)

_STAGING = text(f"""
    CREATE TEMPORARY TABLE import_rows (
        line int, sku text, warehouse_code text, quantity bigint, {COPIED_ERROR_COLUMNS},
        sku_key text GENERATED ALWAYS AS (lower(sku)) STORED,
        warehouse_key text GENERATED ALWAYS AS (lower(warehouse_code)) STORED
    ) ON COMMIT DROP
""")
_COLUMNS = ("line", "sku", "warehouse_code", "quantity")
# ``quantity`` is what the row says, ``total_after`` what the level becomes by it.
_PLAN_TABLE = text("""
    CREATE TEMPORARY TABLE import_plan (
        line int, sku text, warehouse_code text, quantity bigint, sku_id uuid, warehouse_id uuid,
        known_sku text, known_warehouse text, first_line int, total_before bigint, reserved bigint, damaged bigint,
        quarantined bigint, total_after bigint, error text
    ) ON COMMIT DROP
""")
_ANALYZE_ROWS = text("ANALYZE import_rows")
_ANALYZE_PLAN = text("ANALYZE import_plan")

# Right after a first load the server has no statistics of our tables yet, and may guess that looping over a whole table
# for each row is cheap. For many rows it never is, and a few rows need the loop (over an index).
_LARGE_ROWS = 20_000
_NO_LOOPS = text("SET LOCAL enable_nestloop = off")

# A SKU that is not known yet and is to be added stands for itself by its key, until it has an id.
_RESOLVE_SQL = """
    INSERT INTO import_plan (line, sku, warehouse_code, quantity, sku_id, warehouse_id, known_sku, known_warehouse,
                             first_line, total_after, error)
    SELECT line, sku, warehouse_code, quantity, sku_id, warehouse_id, known_sku, known_warehouse, first_line, quantity,
           CASE WHEN {unknown} THEN 'unknown_sku' WHEN warehouse_id IS NULL THEN 'unknown_warehouse'
                WHEN NOT warehouse_active THEN 'inactive_warehouse'
                WHEN line > first_line THEN 'duplicate_row' END
    FROM (
        SELECT r.*, s.id AS sku_id, w.id AS warehouse_id, coalesce(s.code, r.sku) AS known_sku,
               w.code AS known_warehouse, w.active AS warehouse_active,
               min(r.line) OVER (PARTITION BY {same}, w.id) AS first_line
        FROM import_rows r
        LEFT JOIN skus s ON s.organization_id = :organization_id AND s.code_key = r.sku_key
        LEFT JOIN warehouses w ON w.organization_id = :organization_id AND w.code_key = r.warehouse_key
        WHERE r.code IS NULL
    ) AS resolved
"""
_RESOLVE = text(_RESOLVE_SQL.format(unknown="sku_id IS NULL", same="s.id"))
_RESOLVE_MISSING = text(_RESOLVE_SQL.format(unknown="false", same="r.sku_key"))

_HAS_NEW = text("""
    SELECT EXISTS (SELECT FROM import_plan p WHERE p.error IS NULL AND NOT EXISTS (
        SELECT FROM inventory_levels l
        WHERE l.organization_id = :organization_id AND l.sku_id = p.sku_id AND l.warehouse_id = p.warehouse_id))
""")

_ADD_SKUS = text("""
    INSERT INTO skus (organization_id, id, code, name)
    SELECT :organization_id, gen_random_uuid(), sku, sku FROM (
        SELECT DISTINCT ON (sku_key) sku FROM import_plan WHERE error IS NULL AND sku_id IS NULL
        ORDER BY sku_key, line
    ) AS missing
    ON CONFLICT (organization_id, code_key) DO NOTHING
""")
_KEYS = text("ALTER TABLE import_plan ADD COLUMN sku_key text GENERATED ALWAYS AS (lower(sku)) STORED")
_NAME_ADDED = text("""
    UPDATE import_plan p SET sku_id = s.id, known_sku = s.code FROM skus s
    WHERE s.organization_id = :organization_id AND s.code_key = p.sku_key AND p.sku_id IS NULL AND p.error IS NULL
""")
_AWAITED_BY_CODE = text("""
    SELECT DISTINCT p.sku_id FROM import_plan p
    WHERE p.error IS NULL AND EXISTS (
        SELECT FROM demand_lines w
        WHERE w.organization_id = :organization_id AND w.sku_key = p.sku_key AND w.sku_id IS NULL
          AND w.waiting_since IS NOT NULL)
    ORDER BY p.sku_id
""")

# Rows were checked while others could still change the catalogue: a file of a million is read for seconds.
_CLOSED = text("""
    UPDATE import_plan p SET error = 'inactive_warehouse' FROM warehouses w
    WHERE w.organization_id = :organization_id AND w.id = p.warehouse_id AND NOT w.active AND p.error IS NULL
""")
_LOCK_SQL = """
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
        quarantined = locked.quantity_quarantined, total_after = {after}, error = CASE {refused} END
    FROM locked
    WHERE p.sku_id = locked.sku_id AND p.warehouse_id = locked.warehouse_id AND p.error IS NULL
"""
_KEPT = "locked.quantity_reserved + locked.quantity_damaged + locked.quantity_quarantined"
_LOCK = {
    ImportMode.SET: text(
        _LOCK_SQL.format(after="p.quantity", refused=f"WHEN p.quantity < {_KEPT} THEN 'below_reserved'")
    ),
    ImportMode.ADD: text(
        _LOCK_SQL.format(
            after="locked.quantity_total + p.quantity",
            refused=f"WHEN locked.quantity_total + p.quantity > {MAX_QUANTITY} THEN 'quantity_too_large'",
        )
    ),
}

_COUNT = text("""
    SELECT count(*) FILTER (WHERE error IS NOT NULL) AS failed,
           count(*) FILTER (WHERE error IS NULL AND total_before IS NULL) AS created,
           count(*) FILTER (WHERE error IS NULL AND total_before <> total_after) AS updated,
           count(*) FILTER (WHERE error IS NULL AND total_before = total_after) AS unchanged,
           count(DISTINCT lower(sku)) FILTER (WHERE error IS NULL AND sku_id IS NULL) AS missing_skus
    FROM import_plan
""")

_INDEX_REFUSED = text("CREATE INDEX ON import_plan (line) WHERE error IS NOT NULL")
_REFUSED = text("""
    SELECT line, sku, warehouse_code, quantity, error, first_line, total_before, reserved,
           damaged + quarantined AS unavailable
    FROM import_plan WHERE error IS NOT NULL AND line > :after ORDER BY line LIMIT :limit
""")

_UPDATE = text("""
    UPDATE inventory_levels l
    SET quantity_total = p.total_after, updated_at = :now,
        quantity_available = p.total_after - l.quantity_reserved - l.quantity_damaged - l.quantity_quarantined
    FROM import_plan p
    WHERE l.organization_id = :organization_id AND l.sku_id = p.sku_id AND l.warehouse_id = p.warehouse_id
      AND p.error IS NULL AND p.total_before <> p.total_after
""")

_INSERT = text("""
    INSERT INTO inventory_levels (organization_id, sku_id, warehouse_id, quantity_total, quantity_reserved,
                                  quantity_available, updated_at)
    SELECT :organization_id, sku_id, warehouse_id, total_after, 0, total_after, :now
    FROM import_plan WHERE error IS NULL AND total_before IS NULL
    ORDER BY sku_id, warehouse_id
""")

_LEDGER = text("""
    INSERT INTO stock_ledger (organization_id, at, sku_id, warehouse_id, kind, actor, reason, source_type, source_id,
                              total_before, total_after, reserved_before, reserved_after, damaged_before,
                              damaged_after, quarantined_before, quarantined_after, trace_id)
    SELECT :organization_id, :now, sku_id, warehouse_id, :kind, :actor, :reason, :source_type, :source_id,
           coalesce(total_before, 0), total_after, coalesce(reserved, 0), coalesce(reserved, 0), coalesce(damaged, 0),
           coalesce(damaged, 0), coalesce(quarantined, 0), coalesce(quarantined, 0), :trace_id
    FROM import_plan WHERE error IS NULL AND total_before IS DISTINCT FROM total_after
""")


# Failed rows are fetched, worded and stored so many at a time.
_PAGE_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class ImportCounts:
    """Rows of a plan by what becomes of them; and how many SKUs it names that are not there yet."""

    failed: int
    created: int
    updated: int
    unchanged: int
    missing_skus: int


class ImportRepository:
    """One import of one organization; its methods are called in the order in which they stand here."""

    def __init__(self, session: AsyncSession, organization_id: UUID) -> None:
        self._session = session
        self._organization_id = organization_id

    async def _run(self, statement: Any, **parameters: Any) -> Any:
        return await self._session.execute(statement, {"organization_id": self._organization_id, **parameters})

    async def stage(self, rows: CopiedRows, *, create_missing_skus: bool = False) -> None:
        """Take in rows (line, SKU, warehouse code, quantity) as they come and find what they name. Locks nothing."""
        await self._session.execute(_STAGING)
        await self._session.execute(_PLAN_TABLE)
        if await copy_rows(self._session, "import_rows", _COLUMNS, rows) > _LARGE_ROWS:
            await self._session.execute(_NO_LOOPS)
        await self._session.execute(_ANALYZE_ROWS)
        await self._run(_RESOLVE_MISSING if create_missing_skus else _RESOLVE)
        await self._session.execute(_ANALYZE_PLAN)

    async def has_new_levels(self) -> bool:
        """Tell whether a row needs a level that does not exist yet."""
        return bool((await self._run(_HAS_NEW)).scalar_one())

    async def name_missing_skus(self) -> None:
        """Find the SKUs that were added since the rows were staged. Under the exclusive catalogue lock."""
        await self._session.execute(_KEYS)
        await self._run(_NAME_ADDED)

    async def lock(self, mode: ImportMode) -> ImportCounts:
        """Lock the levels concerned, in the one fixed order, and refuse rows that they do not allow.

        Under the catalogue lock.
        """
        await self._run(_CLOSED)
        await self._run(_LOCK[mode])
        return ImportCounts(*(await self._session.execute(_COUNT)).one())

    async def keep_errors(self, import_id: UUID, counts: ImportCounts) -> None:
        """Store why rows were refused, when they were read and by the plan."""
        await keep_copied_errors(self._session, "import_rows", self._organization_id, import_id)
        if not counts.failed:
            return
        await self._session.execute(_INDEX_REFUSED)
        after = -1
        while rows := (await self._session.execute(_REFUSED, {"after": after, "limit": _PAGE_ROWS})).all():
            errors = [_error(row) for row in rows]
            await store_errors(self._session, self._organization_id, import_id, errors)
            after = rows[-1].line

    async def add_missing_skus(self) -> list[UUID]:
        """Add the SKUs that are named and not there; returns those that an order on hold names.

        Under the exclusive catalogue lock, after :meth:`name_missing_skus`.
        """
        await self._run(_ADD_SKUS)
        await self._run(_NAME_ADDED)
        return list((await self._run(_AWAITED_BY_CODE)).scalars())

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
    if row.error == "quantity_too_large":
        message = f"SKU {row.sku} has {row.total_before} in {row.warehouse_code}; with {row.quantity} more it is above "
        return RowError(row.line, "quantity", row.error, f"{message}{MAX_QUANTITY}.", str(row.quantity))
    kept = f"{row.reserved} reserved" + (f" and {row.unavailable} unavailable" if row.unavailable else "")
    message = f"SKU {row.sku} has {kept} in {row.warehouse_code}; the quantity cannot be {row.quantity}."
    return RowError(row.line, "quantity", row.error, message, str(row.quantity))
