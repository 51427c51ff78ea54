"""The worker's part that applies large files: one at a time, each under a lease that a heartbeat prolongs.

The file is applied and the import ended in one transaction, which commits only while the lease is ours. So a process
that dies at any point leaves all or nothing; its lease runs out, and the import is run again, once.
"""

import asyncio
import time
from contextlib import suppress
from datetime import timedelta

from rappit_common.clock import new_id, utc_now
from rappit_common.database.engine import is_outage
from rappit_common.errors import RappitError
from rappit_common.logs import get_logger
from rappit_common.periodic import Periodic, in_batches
from rappit_common.unit_of_work import UnitsOfWork
from sqlalchemy import text

from rappit_inventory.domain.imports import ImportStatus, ImportWork, Progress
from rappit_inventory.flows.files import kept_file
from rappit_inventory.models import ImportRow
from rappit_inventory.repository.import_jobs import PURGED_IMPORTS, Lease, options_of
from rappit_inventory.service.take_import import apply_file, open_file
from rappit_inventory.unit import InventoryUnit

BEAT_S = 0.5
PURGE_EVERY_S = 600.0

_log = get_logger()


class ImportWorker:
    """Applies files that wait.

    Args:
        units: Where.
        poll_s: How often to look for the next, in seconds.
        lease_s: How long an import stays ours without a heartbeat.
        statement_timeout_s: Of one statement over a whole file, which may well take longer than a request's.
    """

    def __init__(
        self, units: UnitsOfWork[InventoryUnit], *, poll_s: float, lease_s: float, statement_timeout_s: float
    ) -> None:
        self._units = units
        self._poll_s = poll_s
        self._lease_s = lease_s
        self._statement_timeout_s = statement_timeout_s
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._run(), name="import-worker")

    async def stop(self) -> None:
        """Roll back what is under way; it waits again, for whoever comes next."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            try:
                found = await self.work_once()
            except Exception as error:  # noqa: BLE001 - the next round may do better; the import stays where it is
                _log.warning("import_worker_failed", error=f"{type(error).__name__}: {error}")
                found = False
            if not found:
                await asyncio.sleep(self._poll_s)

    async def work_once(self) -> bool:
        """Apply the next import that waits; returns False when none does."""
        async with self._units.bypass_tenancy("import worker: which import is next") as unit:
            lease = await unit.import_jobs.claim(new_id(), now=utc_now(), lease_s=self._lease_s)
        if lease is None:
            return False
        progress = Progress()
        # Begun before any transaction is open: a task inherits the mark of one, and could open none of its own.
        applying = asyncio.create_task(self._apply(lease, progress), name="import-apply")
        try:
            ending = await self._watch(lease, progress, applying)
            await self._settle(lease, applying, ending)
        except asyncio.CancelledError:
            applying.cancel()
            await asyncio.gather(applying, return_exceptions=True)
            async with self._units.begin(lease.organization_id) as unit:
                await unit.import_jobs.release(lease)
            raise
        return True

    async def _watch(self, lease: Lease, progress: Progress, applying: "asyncio.Task[None]") -> bool:
        """Prolong the lease until the file is applied or is not to be any more; returns whether it was cancelled."""
        while not applying.done():
            await asyncio.wait([applying], timeout=BEAT_S)
            if applying.done():
                break
            try:
                async with self._units.begin(lease.organization_id) as unit:
                    cancelled = await unit.import_jobs.beat(lease, progress, now=utc_now(), lease_s=self._lease_s)
            except Exception as error:  # noqa: BLE001 - a missed beat is made up by the next, or the lease runs out
                _log.warning("import_beat_missed", import_id=str(lease.import_id), error=repr(error))
                continue
            if cancelled is None:
                # Most likely because it has just been ended by the transaction that applied it.
                await asyncio.wait([applying], timeout=BEAT_S)
            if cancelled is not False and not applying.done():
                applying.cancel()
                await asyncio.gather(applying, return_exceptions=True)
                return bool(cancelled)
        return False

    async def _settle(self, lease: Lease, applying: "asyncio.Task[None]", is_cancelled: bool) -> None:  # noqa: FBT001 - what watching came to
        names = {"import_id": str(lease.import_id), "organization_id": str(lease.organization_id)}
        error = None if applying.cancelled() else applying.exception()
        if applying.cancelled():
            if is_cancelled:
                await self._end(lease, ImportStatus.CANCELLED, None, None)
            _log.info("import_stopped", cancelled=is_cancelled, **names)
        elif error is None:
            _log.info("import_applied", **names)
        elif isinstance(error, RappitError):
            await self._end(lease, ImportStatus.FAILED, error.code, error.message)
            _log.info("import_refused", code=error.code, **names)
        else:
            _log.error("import_failed", exc_info=error, **names)
            # While the database is away nothing can be said: the lease runs out, and the import is run again.
            if not is_outage(error):
                message = "The import failed for a reason of ours and changed nothing; we have been told. Try again."
                await self._end(lease, ImportStatus.FAILED, "import_failed", message)

    async def _end(self, lease: Lease, status: ImportStatus, code: str | None, message: str | None) -> None:
        async with self._units.begin(lease.organization_id) as unit:
            await unit.import_jobs.end(lease, status, code, message, utc_now())

    async def _apply(self, lease: Lease, progress: Progress) -> None:
        started = time.perf_counter()
        async with self._units.begin(lease.organization_id) as unit:
            row: ImportRow = await unit.import_jobs.get(lease.import_id)
        options = options_of(row)
        async with kept_file(self._units, lease.organization_id, lease.import_id) as stream:
            file = await asyncio.to_thread(open_file, options.kind, stream, counts_rows=row.counts_rows)
            async with self._units.begin(lease.organization_id) as unit:
                await self._be_patient(unit)
                work = ImportWork(row.id, row.actor, options, progress)
                now = utc_now()
                summary, warnings = await apply_file(unit, file, row.file_sha256, work, now=now)
                duration_ms = round((time.perf_counter() - started) * 1000, 1)
                await unit.import_jobs.finish_leased(lease, summary, warnings, duration_ms=duration_ms, now=utc_now())

    async def _be_patient(self, unit: InventoryUnit) -> None:
        milliseconds = int(self._statement_timeout_s * 1000)
        await unit.session.execute(text(f"SET LOCAL statement_timeout = {milliseconds}"))
        # A process that dies leaves its statement running on the server, with all locks, unless the server looks.
        await unit.session.execute(text("SET LOCAL client_connection_check_interval = 2000"))


class ImportPurge(Periodic):
    """Removes files and failed rows of imports after their retention; the history stays.

    Args:
        units: Where.
        keep_days: How long both are kept after an import's end.
    """

    def __init__(self, units: UnitsOfWork[InventoryUnit], keep_days: int) -> None:
        super().__init__("import-purge", every_s=PURGE_EVERY_S)
        self._units = units
        self._keep = timedelta(days=keep_days)

    async def act(self) -> None:
        """Remove all that is past its retention."""
        await in_batches(self.purge, PURGED_IMPORTS)

    async def purge(self) -> int:
        """Remove what is past its retention of a bounded number of imports. Returns of how many."""
        now = utc_now()
        async with self._units.bypass_tenancy("retention of import files") as unit:
            return await unit.import_jobs.purge(before=now - self._keep, now=now)
