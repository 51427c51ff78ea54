"""Cycle counts; each is guarded by the lock of its row."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from rappit_inventory.models import Sku
from rappit_inventory.models.documents import CountLineRow, CountRow

_WRITE_COUNTED = text("""
    UPDATE stock_count_lines c
    SET quantity_counted = n.counted, quantity_expected = n.expected, counted_by = :counted_by,
        counted_by_label = :label, counted_at = :now
    FROM unnest(CAST(:sku_ids AS uuid[]), CAST(:counted AS bigint[]), CAST(:expected AS bigint[]))
         AS n(sku_id, counted, expected)
    WHERE c.organization_id = :organization_id AND c.count_id = :count_id AND c.sku_id = n.sku_id
""")


@dataclass(frozen=True, slots=True)
class CountLine:
    """One level of a count; units."""

    sku_id: UUID
    sku: str
    counted: int | None
    expected: int | None
    counted_by: UUID | None
    counted_by_label: str | None
    counted_at: datetime | None

    @property
    def difference(self) -> int | None:
        """What was found beyond, or below zero short of, what we thought lay there when it was counted."""
        return None if self.counted is None or self.expected is None else self.counted - self.expected


class CountRepository:
    """Reads, locks and writes one organization's counts."""

    def __init__(self, session: AsyncSession, organization_id: UUID) -> None:
        self._session = session
        self._organization_id = organization_id

    async def add(self, row: CountRow, sku_ids: Iterable[UUID]) -> None:
        """Write a new count."""
        row.organization_id = self._organization_id
        self._session.add(row)
        await self._session.flush()
        lines = [{"organization_id": self._organization_id, "count_id": row.id, "sku_id": sku_id} for sku_id in sku_ids]
        await self._session.execute(insert(CountLineRow), lines)

    async def get(self, count_id: UUID, *, lock: bool = False) -> CountRow | None:
        """Return a count's head, locked if asked."""
        statement = select(CountRow).where(CountRow.id == count_id).execution_options(populate_existing=True)
        return await self._session.scalar(statement.with_for_update() if lock else statement)

    async def lines(self, count_id: UUID) -> list[CountLine]:
        """Return a count's lines, by the time their SKUs were added."""
        line = CountLineRow
        rows = await self._session.execute(
            select(
                line.sku_id,
                Sku.code,
                line.quantity_counted,
                line.quantity_expected,
                line.counted_by,
                line.counted_by_label,
                line.counted_at,
            )
            .join(Sku, (Sku.organization_id == line.organization_id) & (Sku.id == line.sku_id))
            .where(line.count_id == count_id)
            .order_by(line.sku_id)
        )
        return [CountLine(*row) for row in rows]

    async def write_counted(
        self,
        count_id: UUID,
        quantities: Sequence[tuple[UUID, int, int]],
        *,
        counted_by: UUID,
        label: str,
        now: datetime,
    ) -> None:
        """Note what was counted, as (SKU, counted, expected), and by whom."""
        await self._session.execute(
            _WRITE_COUNTED,
            {
                "organization_id": self._organization_id,
                "count_id": count_id,
                "counted_by": counted_by,
                "label": label,
                "now": now,
                "sku_ids": [sku_id for sku_id, _, _ in quantities],
                "counted": [counted for _, counted, _ in quantities],
                "expected": [expected for _, _, expected in quantities],
            },
        )

    async def page(self, status: str | None, *, limit: int, after: UUID | None) -> Sequence[CountRow]:
        """Return counts, newest first."""
        statement = select(CountRow).order_by(CountRow.id.desc()).limit(limit)
        if status is not None:
            statement = statement.where(CountRow.status == status)
        return list(await self._session.scalars(statement if after is None else statement.where(CountRow.id < after)))
