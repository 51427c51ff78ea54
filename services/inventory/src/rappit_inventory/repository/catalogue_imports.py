"""Imports of SKUs: like those of levels (imports.py), with statements made for the columns that a file has."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from rappit_inventory.domain.catalogue_file import MAX_SKU_CHARACTERS, CatalogueColumn
from rappit_inventory.domain.imports import ImportMode
from rappit_inventory.domain.table_file import RowError
from rappit_inventory.repository.staging import (
    COPIED_ERROR_COLUMNS,
    CopiedRows,
    copy_rows,
    keep_copied_errors,
    store_errors,
)

_PAGE_ROWS = 10_000
_REFUSED_BY_MODE = {
    ImportMode.CREATE: "WHEN sku_id IS NOT NULL THEN 'sku_exists'",
    ImportMode.UPDATE: "WHEN sku_id IS NULL THEN 'unknown_sku'",
    ImportMode.UPSERT: "",
}

_COUNT = text("""
    SELECT count(*) FILTER (WHERE error IS NOT NULL) AS failed,
           count(*) FILTER (WHERE error IS NULL AND sku_id IS NULL) AS created,
           count(*) FILTER (WHERE error IS NULL AND sku_id IS NOT NULL AND differs) AS updated,
           count(*) FILTER (WHERE error IS NULL AND sku_id IS NOT NULL AND NOT differs) AS unchanged
    FROM catalogue_plan
""")
_INDEX_REFUSED = text("CREATE INDEX ON catalogue_plan (line) WHERE error IS NOT NULL")
_REFUSED = text("""
    SELECT line, sku, error, first_line FROM catalogue_plan
    WHERE error IS NOT NULL AND line > :after ORDER BY line LIMIT :limit
""")
_AWAITED = text("""
    SELECT DISTINCT s.id FROM catalogue_plan p
    JOIN skus s ON s.organization_id = :organization_id AND s.code_key = p.sku_key
    WHERE p.error IS NULL AND p.sku_id IS NULL AND EXISTS (
        SELECT FROM demand_lines w
        WHERE w.organization_id = :organization_id AND w.sku_key = p.sku_key AND w.sku_id IS NULL
          AND w.waiting_since IS NOT NULL)
    ORDER BY s.id
""")


@dataclass(frozen=True, slots=True)
class CatalogueCounts:
    """Rows of a plan by what becomes of them."""

    failed: int
    created: int
    updated: int
    unchanged: int


class CatalogueImportRepository:
    """One import of one organization's SKUs; its methods are called in the order in which they stand here."""

    def __init__(self, session: AsyncSession, organization_id: UUID) -> None:
        self._session = session
        self._organization_id = organization_id

    async def _run(self, statement: Any, **parameters: Any) -> Any:
        return await self._session.execute(statement, {"organization_id": self._organization_id, **parameters})

    async def stage(self, rows: CopiedRows, columns: Sequence[CatalogueColumn]) -> None:
        """Take in rows (line, SKU, the columns' values) as they come. Locks nothing."""
        typed = ["line int", f"sku varchar({MAX_SKU_CHARACTERS})", *(f"{x.name} {x.sql_type}" for x in columns)]
        await self._session.execute(
            text(
                f"CREATE TEMPORARY TABLE catalogue_rows ({', '.join(typed)}, {COPIED_ERROR_COLUMNS},"
                " sku_key text GENERATED ALWAYS AS (lower(sku)) STORED) ON COMMIT DROP"
            )
        )
        await copy_rows(self._session, "catalogue_rows", ["line", "sku", *(x.name for x in columns)], rows)
        await self._session.execute(text("ANALYZE catalogue_rows"))

    async def plan(self, mode: ImportMode, columns: Sequence[CatalogueColumn]) -> CatalogueCounts:
        """Find out what each row would do. Under the exclusive catalogue lock, so that it stays so."""
        differs = " OR ".join(f"s.{x.name} IS DISTINCT FROM {_value(x)}" for x in columns) or "false"
        statement = f"""
            CREATE TEMPORARY TABLE catalogue_plan ON COMMIT DROP AS
            SELECT p.*, CASE {_REFUSED_BY_MODE[mode]} WHEN line > first_line THEN 'duplicate_row' END AS error
            FROM (
                SELECT r.line, r.sku, r.sku_key, s.id AS sku_id, ({differs}) AS differs,
                       min(r.line) OVER (PARTITION BY r.sku_key) AS first_line
                FROM catalogue_rows r
                LEFT JOIN skus s ON s.organization_id = :organization_id AND s.code_key = r.sku_key
                WHERE r.code IS NULL
            ) AS p
        """  # noqa: S608 - names of our own columns only
        await self._run(text(statement))
        await self._session.execute(text("ANALYZE catalogue_plan"))
        return CatalogueCounts(*(await self._session.execute(_COUNT)).one())

    async def keep_errors(self, import_id: UUID, counts: CatalogueCounts) -> None:
        """Store why rows were refused, when they were read and by the plan."""
        await keep_copied_errors(self._session, "catalogue_rows", self._organization_id, import_id)
        if not counts.failed:
            return
        await self._session.execute(_INDEX_REFUSED)
        after = -1
        while rows := (await self._session.execute(_REFUSED, {"after": after, "limit": _PAGE_ROWS})).all():
            errors = [_error(row) for row in rows]
            await store_errors(self._session, self._organization_id, import_id, errors)
            after = rows[-1].line

    async def apply(self, columns: Sequence[CatalogueColumn], now: datetime) -> None:
        """Write what differs and add what is missing."""
        if columns:
            sets = ", ".join(f"{x.name} = {_value(x)}" for x in columns)
            statement = f"""
                UPDATE skus s SET {sets}
                FROM catalogue_rows r JOIN catalogue_plan p ON p.line = r.line
                WHERE s.organization_id = :organization_id AND s.id = p.sku_id AND p.error IS NULL AND p.differs
            """  # noqa: S608 - names of our own columns only
            await self._run(text(statement))
        given = {x.name: _value(x) for x in columns}
        # A new SKU has a name in any case.
        values = {"name": "r.sku", **given}
        statement = f"""
            INSERT INTO skus (organization_id, id, code, created_at, {", ".join(values)})
            SELECT :organization_id, gen_random_uuid(), r.sku, :now, {", ".join(values.values())}
            FROM catalogue_rows r JOIN catalogue_plan p ON p.line = r.line
            WHERE p.error IS NULL AND p.sku_id IS NULL
            ORDER BY p.sku_key
        """  # noqa: S608 - names of our own columns only
        await self._run(text(statement), now=now)

    async def awaited(self) -> list[UUID]:
        """Return the added SKUs that an order on hold names."""
        return list((await self._run(_AWAITED)).scalars())


def _value(column: CatalogueColumn) -> str:
    return f"coalesce(r.{column.name}, {column.empty})"


def _error(row: Any) -> RowError:
    message = {
        "sku_exists": f"There is a SKU {row.sku} already: use mode=update or mode=upsert to change it.",
        "unknown_sku": f"Unknown SKU {row.sku}: use mode=create or mode=upsert to add it.",
        "duplicate_row": f"SKU {row.sku} stands on line {row.first_line} already.",
    }[row.error]
    return RowError(row.line, "sku", row.error, message, row.sku)
