"""Returned goods."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from rappit_inventory.models.documents import ReturnRow


class ReturnRepository:
    """Reads and writes one organization's returns."""

    def __init__(self, session: AsyncSession, organization_id: UUID) -> None:
        self._session = session
        self._organization_id = organization_id

    async def add(self, row: ReturnRow) -> None:
        """Write a return."""
        row.organization_id = self._organization_id
        self._session.add(row)
        await self._session.flush()

    async def page(self, order_id: UUID | None, *, limit: int, after: UUID | None) -> Sequence[ReturnRow]:
        """Return returns, newest first."""
        statement = select(ReturnRow).order_by(ReturnRow.id.desc()).limit(limit)
        if order_id is not None:
            statement = statement.where(ReturnRow.order_id == order_id)
        return list(await self._session.scalars(statement if after is None else statement.where(ReturnRow.id < after)))
