"""The history of imports, their files, their failed rows, and the leases under which workers run them.

Files lie in a table of chunks, since replicas share no disk: unlike large objects, rows are walled off by tenant, go
with their import, and move with their organization (ADR 0014).
"""

import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, BinaryIO
from uuid import UUID

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from rappit_inventory.domain.imports import (
    ImportKind,
    ImportMode,
    ImportOptions,
    ImportStatus,
    ImportSummary,
    LeaseLostError,
    Progress,
    UnknownImportError,
)
from rappit_inventory.domain.table_file import RowError
from rappit_inventory.models import ImportChunk, ImportErrorRow, ImportRow

CHUNK_BYTES = 1 << 20
MAX_ATTEMPTS = 2
ERROR_PAGE_ROWS = 5_000
PURGED_IMPORTS = 50

# Ended by what ended them: who asked for the end, or a process that died twice.
_END_INTERRUPTED = text("""
    UPDATE imports SET status = CASE WHEN cancel_requested THEN 'cancelled' ELSE 'failed' END, finished_at = :now,
        lease_token = NULL, lease_until = NULL,
        error_code = CASE WHEN cancel_requested THEN NULL ELSE 'interrupted' END,
        error_message = CASE WHEN cancel_requested THEN NULL ELSE :message END
    WHERE status = 'running' AND lease_until < :now AND (attempts >= :max_attempts OR cancel_requested)
""")
_INTERRUPTED = "The import was interrupted twice and changed nothing: send the file again, in parts if it is large."

# One organization's imports run one after the other, in the order in which they were sent: a later file is meant to
# have the last word.
_CLAIM = text("""
    UPDATE imports i SET status = 'running', started_at = coalesce(i.started_at, :now), attempts = i.attempts + 1,
        lease_token = :token, lease_until = :until, phase = 'reading', rows_read = 0
    FROM (
        SELECT c.organization_id, c.id FROM imports c
        WHERE (c.status = 'queued' OR (c.status = 'running' AND c.lease_until < :now))
          AND NOT EXISTS (SELECT FROM imports e WHERE e.organization_id = c.organization_id AND e.id < c.id
                          AND e.status IN ('queued', 'running'))
        ORDER BY c.id LIMIT 1 FOR UPDATE SKIP LOCKED
    ) AS next
    WHERE i.organization_id = next.organization_id AND i.id = next.id
    RETURNING i.organization_id, i.id
""")


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What is known of a file before a row of it is read."""

    name: str | None
    size_bytes: int
    sha256: bytes
    counts_rows: bool

    @classmethod
    def of(cls, stream: BinaryIO, name: str | None, *, counts_rows: bool = False) -> "FileFacts":
        """Read a file through."""
        stream.seek(0)
        digest, size = hashlib.sha256(), 0
        while part := stream.read(CHUNK_BYTES):
            digest.update(part)
            size += len(part)
        return cls(name, size, digest.digest(), counts_rows)


@dataclass(frozen=True, slots=True)
class Lease:
    """A worker's claim on one import."""

    organization_id: UUID
    import_id: UUID
    token: UUID


def options_of(row: ImportRow) -> ImportOptions:
    """Return how an import was asked for."""
    return ImportOptions(
        ImportKind(row.kind),
        ImportMode(row.mode),
        reject_all=row.reject_all,
        dry_run=row.dry_run,
        create_missing_skus=row.create_missing_skus,
    )


class ImportJobRepository:
    """Reads and writes one organization's imports; with a bypass, claims and purges those of all."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, row: ImportRow, organization_id: UUID) -> bool:
        """Note an import; returns False when its idempotency key was used before.

        A request with the same key at the same time waits here for the first to commit or roll back.
        """
        values = {column.key: getattr(row, column.key) for column in ImportRow.__table__.columns}
        statement = insert(ImportRow).values({**values, "organization_id": organization_id})
        added = await self._session.execute(statement.on_conflict_do_nothing().returning(ImportRow.id))
        return added.scalar() is not None

    async def by_key(self, kind: ImportKind, key: str) -> ImportRow:
        """Return the import of an idempotency key that was used."""
        statement = select(ImportRow).where(ImportRow.kind == kind.value, ImportRow.idempotency_key == key)
        return (await self._session.scalars(statement)).one()

    async def get(self, import_id: UUID) -> ImportRow:
        """Return one import as it is now.

        Raises:
            UnknownImportError: There is none.
        """
        statement = select(ImportRow).where(ImportRow.id == import_id)
        found = await self._session.scalar(statement.execution_options(populate_existing=True))
        if found is None:
            raise UnknownImportError("There is no such import.", import_id=str(import_id))
        return found

    async def seen_before(self, kind: ImportKind, sha256: bytes, except_id: UUID) -> ImportRow | None:
        """Return the newest import that applied the very same file, if any."""
        statement = (
            select(ImportRow)
            .where(
                ImportRow.file_sha256 == sha256,
                ImportRow.kind == kind.value,
                ImportRow.id != except_id,
                ImportRow.status == ImportStatus.COMPLETED.value,
                ~ImportRow.dry_run,
            )
            .order_by(ImportRow.id.desc())
            .limit(1)
        )
        return await self._session.scalar(statement)

    async def page(self, *, kind: ImportKind | None, limit: int, after: UUID | None) -> Sequence[ImportRow]:
        """Return imports, newest first."""
        statement = select(ImportRow).order_by(ImportRow.id.desc()).limit(limit)
        if kind is not None:
            statement = statement.where(ImportRow.kind == kind.value)
        return list(await self._session.scalars(statement if after is None else statement.where(ImportRow.id < after)))

    # Files

    async def keep_file(self, import_id: UUID, organization_id: UUID, stream: BinaryIO) -> None:
        """Store a file, chunk by chunk."""
        stream.seek(0)
        number = 0
        while content := stream.read(CHUNK_BYTES):
            chunk = {"organization_id": organization_id, "import_id": import_id, "number": number, "content": content}
            await self._session.execute(insert(ImportChunk).values(chunk))
            number += 1

    async def chunks(self, import_id: UUID) -> AsyncIterator[bytes]:
        """Yield a file's bytes, chunk by chunk."""
        number = 0
        while True:
            statement = select(ImportChunk.content).where(
                ImportChunk.import_id == import_id, ImportChunk.number == number
            )
            content = await self._session.scalar(statement)
            if content is None:
                return
            yield content
            number += 1

    async def failures(
        self, import_id: UUID, *, after_line: int = -1, limit: int = ERROR_PAGE_ROWS
    ) -> Sequence[RowError]:
        """Return failed rows, by line, after one."""
        row = ImportErrorRow
        statement = (
            select(row.line, row.field, row.code, row.message, row.value)
            .where(row.import_id == import_id, row.line > after_line)
            .order_by(row.line)
            .limit(limit)
        )
        return [RowError(*found) for found in await self._session.execute(statement)]

    # Leases

    async def claim(self, token: UUID, *, now: datetime, lease_s: float) -> Lease | None:
        """Take the next import that nobody runs, across organizations; end those that were interrupted too often."""
        ending = {"now": now, "max_attempts": MAX_ATTEMPTS, "message": _INTERRUPTED}
        await self._session.execute(_END_INTERRUPTED, ending)
        claiming = {"now": now, "token": token, "until": now + timedelta(seconds=lease_s)}
        row = (await self._session.execute(_CLAIM, claiming)).one_or_none()
        return None if row is None else Lease(row.organization_id, row.id, token)

    async def beat(self, lease: Lease, progress: Progress, *, now: datetime, lease_s: float) -> bool | None:
        """Prolong a lease and tell how far the import is.

        Returns:
            Whether somebody asked for its cancellation; None when the lease is lost.
        """
        values = {
            "lease_until": now + timedelta(seconds=lease_s),
            "phase": progress.phase,
            "rows_read": progress.rows_read,
        }
        statement = self._leased(lease).values(values).returning(ImportRow.cancel_requested)
        return (await self._session.execute(statement)).scalar()

    async def finish(
        self, import_id: UUID, summary: ImportSummary, warnings: list[str], *, duration_ms: float, now: datetime
    ) -> None:
        """End an import that was applied in this transaction."""
        await self._session.execute(
            update(ImportRow)
            .where(ImportRow.id == import_id)
            .values(_ended(summary, warnings, duration_ms=duration_ms, now=now))
        )

    async def finish_leased(
        self, lease: Lease, summary: ImportSummary, warnings: list[str], *, duration_ms: float, now: datetime
    ) -> None:
        """End an import that was applied in this transaction under a lease.

        Raises:
            LeaseLostError: The lease is another's by now; the transaction must not commit.
        """
        values = _ended(summary, warnings, duration_ms=duration_ms, now=now)
        ended = await self._session.execute(self._leased(lease).values(values).returning(ImportRow.id))
        if ended.scalar() is None:
            raise LeaseLostError(f"the lease on import {lease.import_id} was lost")

    async def end(
        self, lease: Lease, status: ImportStatus, code: str | None, message: str | None, now: datetime
    ) -> None:
        """End an import that changed nothing, unless it has ended already."""
        values = {**_final(status, now), "error_code": code, "error_message": message}
        await self._session.execute(self._leased(lease).values(values))

    async def release(self, lease: Lease) -> None:
        """Give an import back, as if it had never been claimed: this process stops."""
        values = {"status": ImportStatus.QUEUED.value, "lease_token": None, "lease_until": None}
        await self._session.execute(self._leased(lease).values({**values, "attempts": ImportRow.attempts - 1}))

    async def cancel(self, import_id: UUID, now: datetime) -> bool:
        """End a waiting import, or ask for the end of a running one. Returns False when it has ended."""
        queued = update(ImportRow).where(ImportRow.id == import_id, ImportRow.status == ImportStatus.QUEUED.value)
        ended = await self._session.execute(queued.values(_final(ImportStatus.CANCELLED, now)).returning(ImportRow.id))
        if ended.scalar() is not None:
            return True
        running = update(ImportRow).where(ImportRow.id == import_id, ImportRow.status == ImportStatus.RUNNING.value)
        asked = await self._session.execute(running.values(cancel_requested=True).returning(ImportRow.id))
        return asked.scalar() is not None

    async def purge(self, *, before: datetime, now: datetime) -> int:
        """Remove files and failed rows of some imports that ended long ago; returns of how many."""
        old = (
            select(ImportRow.organization_id, ImportRow.id)
            .where(ImportRow.files_removed_at.is_(None), ImportRow.finished_at < before)
            .order_by(ImportRow.finished_at)
            .limit(PURGED_IMPORTS)
            .with_for_update(skip_locked=True)
        )
        found = list(await self._session.execute(old))
        for organization_id, import_id in found:
            for table in (ImportChunk, ImportErrorRow):
                mine = (table.organization_id == organization_id, table.import_id == import_id)
                await self._session.execute(delete(table).where(*mine))
            here = (ImportRow.organization_id == organization_id, ImportRow.id == import_id)
            await self._session.execute(update(ImportRow).where(*here).values(files_removed_at=now))
        return len(found)

    def _leased(self, lease: Lease) -> Any:
        mine = (ImportRow.organization_id == lease.organization_id, ImportRow.id == lease.import_id)
        return update(ImportRow).where(*mine, ImportRow.lease_token == lease.token)


def _final(status: ImportStatus, now: datetime) -> dict[str, Any]:
    return {"status": status.value, "finished_at": now, "lease_token": None, "lease_until": None}


def _ended(summary: ImportSummary, warnings: list[str], *, duration_ms: float, now: datetime) -> dict[str, Any]:
    status = ImportStatus.REJECTED if summary.rejected else ImportStatus.COMPLETED
    return {
        **_final(status, now),
        "summary": asdict(summary),
        "warnings": warnings,
        "duration_ms": duration_ms,
        "phase": "done",
        "rows_read": func.greatest(ImportRow.rows_read, summary.total),
    }
