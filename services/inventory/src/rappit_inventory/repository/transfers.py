"""Transfers between warehouses; each is guarded by the lock of its row."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from rappit_inventory.domain.transfers import Transfer, TransferLine, TransferStatus
from rappit_inventory.models import Sku
from rappit_inventory.models.documents import TransferLineRow, TransferRow, TransferStepRow

_WRITE_LINES = text("""
    UPDATE transfer_lines t
    SET quantity_in_transit = n.in_transit, quantity_received = n.received, quantity_written_off = n.written_off,
        quantity_returned = n.returned
    FROM unnest(CAST(:sku_ids AS uuid[]), CAST(:in_transit AS bigint[]), CAST(:received AS bigint[]),
                CAST(:written_off AS bigint[]), CAST(:returned AS bigint[]))
         AS n(sku_id, in_transit, received, written_off, returned)
    WHERE t.organization_id = :organization_id AND t.transfer_id = :transfer_id AND t.sku_id = n.sku_id
""")


class TransferRepository:
    """Reads, locks and writes one organization's transfers."""

    def __init__(self, session: AsyncSession, organization_id: UUID) -> None:
        self._session = session
        self._organization_id = organization_id

    async def add(self, transfer: Transfer, note: str | None, now: datetime) -> None:
        """Write a new draft."""
        self._session.add(
            TransferRow(
                organization_id=self._organization_id,
                id=transfer.id,
                source_id=transfer.source_id,
                target_id=transfer.target_id,
                status=transfer.status.value,
                note=note,
                created_at=now,
                updated_at=now,
            )
        )
        await self._session.flush()
        lines = [
            {
                "organization_id": self._organization_id,
                "transfer_id": transfer.id,
                "sku_id": line.sku_id,
                "target_id": transfer.target_id,
                "quantity": line.quantity,
                "quantity_in_transit": 0,
                "quantity_received": 0,
                "quantity_written_off": 0,
                "quantity_returned": 0,
            }
            for line in transfer.lines.values()
        ]
        await self._session.execute(insert(TransferLineRow), lines)

    async def get(self, transfer_id: UUID) -> TransferRow | None:
        """Return a transfer's head as it is."""
        return await self._session.scalar(
            select(TransferRow).where(TransferRow.id == transfer_id).execution_options(populate_existing=True)
        )

    async def lock(self, transfer_id: UUID) -> Transfer | None:
        """Lock a transfer and return it with its lines."""
        row = await self._session.scalar(
            select(TransferRow)
            .where(TransferRow.id == transfer_id)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        if row is None:
            return None
        lines = {line.sku_id: line for line in await self.lines(transfer_id)}
        return Transfer(row.id, row.source_id, row.target_id, TransferStatus(row.status), lines)

    async def lines(self, transfer_id: UUID) -> list[TransferLine]:
        """Return a transfer's lines, by the time their SKUs were added."""
        line = TransferLineRow
        rows = await self._session.execute(
            select(
                line.sku_id,
                Sku.code,
                line.quantity,
                line.quantity_in_transit,
                line.quantity_received,
                line.quantity_written_off,
                line.quantity_returned,
            )
            .join(Sku, (Sku.organization_id == line.organization_id) & (Sku.id == line.sku_id))
            .where(line.transfer_id == transfer_id)
            .order_by(line.sku_id)
        )
        return [TransferLine(*row) for row in rows]

    async def save(self, transfer: Transfer, now: datetime) -> None:
        """Write a transfer's status and where its units are."""
        await self._session.execute(
            update(TransferRow)
            .where(TransferRow.id == transfer.id)
            .values(status=transfer.status.value, updated_at=now)
            .execution_options(synchronize_session=False)
        )
        lines = list(transfer.lines.values())
        await self._session.execute(
            _WRITE_LINES,
            {
                "organization_id": self._organization_id,
                "transfer_id": transfer.id,
                "sku_ids": [line.sku_id for line in lines],
                "in_transit": [line.in_transit for line in lines],
                "received": [line.received for line in lines],
                "written_off": [line.written_off for line in lines],
                "returned": [line.returned for line in lines],
            },
        )

    async def note(
        self, transfer_id: UUID, action: str, units: Mapping[str, int], *, actor: str, reason: str | None, now: datetime
    ) -> None:
        """Append to a transfer's story: units by SKU code."""
        lines: list[dict[str, Any]] = [{"sku": sku, "quantity": quantity} for sku, quantity in sorted(units.items())]
        self._session.add(
            TransferStepRow(
                organization_id=self._organization_id,
                transfer_id=transfer_id,
                at=now,
                actor=actor,
                action=action,
                reason=reason,
                lines=lines,
            )
        )
        await self._session.flush()

    async def steps(self, transfer_id: UUID, *, limit: int) -> Sequence[TransferStepRow]:
        """Return a transfer's story, from its beginning."""
        step = TransferStepRow
        return list(
            await self._session.scalars(
                select(step).where(step.transfer_id == transfer_id).order_by(step.id).limit(limit)
            )
        )

    async def page(self, status: str | None, *, limit: int, after: UUID | None) -> Sequence[TransferRow]:
        """Return transfers, newest first."""
        statement = select(TransferRow).order_by(TransferRow.id.desc()).limit(limit)
        if status is not None:
            statement = statement.where(TransferRow.status == status)
        return list(
            await self._session.scalars(statement if after is None else statement.where(TransferRow.id < after))
        )
