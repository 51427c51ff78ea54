"""What the ledger tells, and whether levels agree with it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import literal_column, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from rappit_inventory.domain.stock import MovementKind
from rappit_inventory.models import LedgerRow

# One statement sees one moment: levels, their ledger and what is held of them are written together, so nothing needs to
# be locked to compare them. Rows of the kind repair are left out, because they are what a level was put right by: the
# sum of all others is the truth that it was put right to.
_DRIFT = """
    WITH told AS (
        SELECT sku_id, warehouse_id, sum(total_after - total_before) AS total,
               sum(damaged_after - damaged_before) AS damaged,
               sum(quarantined_after - quarantined_before) AS quarantined
        FROM stock_ledger
        WHERE organization_id = :organization_id AND kind <> 'repair' {of_skus}
        GROUP BY sku_id, warehouse_id
    ), held AS (
        SELECT sku_id, warehouse_id, sum(units) AS reserved FROM (
            SELECT sku_id, warehouse_id, quantity_reserved AS units FROM allocations
            WHERE organization_id = :organization_id AND quantity_reserved > 0 {of_skus}
            UNION ALL
            SELECT sku_id, warehouse_id, quantity_held FROM hold_lines
            WHERE organization_id = :organization_id AND quantity_held > 0 {of_skus}
        ) AS u GROUP BY sku_id, warehouse_id
    ), compared AS (
        SELECT l.sku_id, l.warehouse_id, l.quantity_total, l.quantity_reserved, l.quantity_damaged,
               l.quantity_quarantined, CAST(coalesce(t.total, 0) AS bigint) AS total,
               CAST(coalesce(h.reserved, 0) AS bigint) AS reserved,
               CAST(coalesce(t.damaged, 0) AS bigint) AS damaged,
               CAST(coalesce(t.quarantined, 0) AS bigint) AS quarantined
        FROM (SELECT * FROM inventory_levels WHERE organization_id = :organization_id {of_skus}) AS l
        LEFT JOIN told t USING (sku_id, warehouse_id)
        LEFT JOIN held h USING (sku_id, warehouse_id)
    )
    SELECT c.*, s.code AS sku, w.code AS warehouse_code, count(*) OVER () AS found
    FROM compared c
    JOIN skus s ON s.organization_id = :organization_id AND s.id = c.sku_id
    JOIN warehouses w ON w.organization_id = :organization_id AND w.id = c.warehouse_id
    WHERE (c.quantity_total, c.quantity_reserved, c.quantity_damaged, c.quantity_quarantined)
          <> (c.total, c.reserved, c.damaged, c.quarantined)
    ORDER BY c.sku_id, c.warehouse_id LIMIT :limit
"""
_OF_SKUS = "AND sku_id = ANY(CAST(:sku_ids AS uuid[]))"
_UP_TO = "AND sku_id > :after AND sku_id <= :until"
_COUNT = "SELECT count(*) FROM inventory_levels WHERE organization_id = :organization_id {of_skus}"
_FIRST = UUID(int=0)
_LAST = UUID(int=(1 << 128) - 1)
_STRETCH = text("""
    SELECT sku_id AS until, number >= :limit AS is_cut FROM (
        SELECT sku_id, row_number() OVER (ORDER BY sku_id) AS number FROM inventory_levels
        WHERE organization_id = :organization_id AND sku_id > :after
        ORDER BY sku_id LIMIT :limit
    ) AS l ORDER BY number DESC LIMIT 1
""")


@dataclass(frozen=True, slots=True)
class Quantities:
    """A level's four counts of units."""

    total: int
    reserved: int
    damaged: int
    quarantined: int


@dataclass(frozen=True, slots=True)
class Drift:
    """A level that is not what its ledger and its orders say."""

    sku_id: UUID
    warehouse_id: UUID
    sku: str
    warehouse_code: str
    found: Quantities
    expected: Quantities


@dataclass(frozen=True, slots=True)
class Stretch:
    """Levels to be compared: of SKUs that are named, or of those between two, the second included."""

    sku_ids: Collection[UUID] | None = None
    after: UUID = _FIRST
    until: UUID = _LAST
    is_last: bool = True


@dataclass(frozen=True, slots=True)
class LedgerFilter:
    """Which rows of the ledger. None leaves a condition out."""

    sku_id: UUID | None = None
    warehouse_id: UUID | None = None
    kind: MovementKind | None = None
    source_id: UUID | None = None
    since: datetime | None = None
    before: datetime | None = None


class LedgerRepository:
    """Reads one organization's ledger."""

    def __init__(self, session: AsyncSession, organization_id: UUID) -> None:
        self._session = session
        self._organization_id = organization_id

    async def page(
        self, wanted: LedgerFilter, *, limit: int, after: tuple[datetime, int] | None
    ) -> Sequence[LedgerRow]:
        """Return rows of the ledger, newest first."""
        row = LedgerRow
        statement = select(row).order_by(row.at.desc(), row.id.desc()).limit(limit)
        for column, value in (
            (row.sku_id, wanted.sku_id),
            (row.warehouse_id, wanted.warehouse_id),
            (row.source_id, wanted.source_id),
        ):
            if value is not None:
                statement = statement.where(column == value)
        if wanted.kind is not None:
            # Written out, so that the planner sees whether the index by kind covers it.
            statement = statement.where(row.kind == literal_column(f"'{wanted.kind.value}'"))
        if wanted.since is not None:
            statement = statement.where(row.at >= wanted.since)
        if wanted.before is not None:
            statement = statement.where(row.at < wanted.before)
        if after is not None:
            position = text("(stock_ledger.at, stock_ledger.id) < (:after_at, :after_id)")
            statement = statement.where(position.bindparams(after_at=after[0], after_id=after[1]))
        return list(await self._session.scalars(statement))

    async def stretch(self, after: UUID, *, levels: int) -> Stretch:
        """Return the next ``levels`` levels, and the rest of the last one's SKU."""
        parameters = {"organization_id": self._organization_id, "after": after, "limit": levels}
        row = (await self._session.execute(_STRETCH, parameters)).one_or_none()
        return Stretch(after=after) if row is None else Stretch(None, after, row.until, is_last=not row.is_cut)

    async def drift(self, stretch: Stretch, *, limit: int) -> tuple[list[Drift], int]:
        """Return the levels that are not what the ledger says, at most ``limit``, and how many there are."""
        rows = list(await self._run(_DRIFT, stretch, limit=limit))
        return [_drift(row) for row in rows], rows[0].found if rows else 0

    async def level_count(self, stretch: Stretch) -> int:
        """Return how many levels there are."""
        return (await self._run(_COUNT, stretch)).scalar_one()

    async def _run(self, statement: str, stretch: Stretch, **parameters: Any) -> Any:
        parameters["organization_id"] = self._organization_id
        if stretch.sku_ids is not None:
            parameters["sku_ids"] = sorted(stretch.sku_ids)
            return await self._session.execute(text(statement.format(of_skus=_OF_SKUS)), parameters)
        parameters.update(after=stretch.after, until=stretch.until)
        return await self._session.execute(text(statement.format(of_skus=_UP_TO)), parameters)


def _drift(row: Any) -> Drift:
    found = Quantities(row.quantity_total, row.quantity_reserved, row.quantity_damaged, row.quantity_quarantined)
    expected = Quantities(row.total, row.reserved, row.damaged, row.quarantined)
    return Drift(row.sku_id, row.warehouse_id, row.sku, row.warehouse_code, found, expected)
