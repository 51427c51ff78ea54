"""Moves requeue runs on, in the background: any number of runners, each step one transaction."""

import asyncio
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, and_, delete, func, not_, select, text, update

from rappit_common.clock import utc_now
from rappit_common.logs import get_logger
from rappit_common.messaging import tables
from rappit_common.messaging.dead_letters.requeue import send_copies
from rappit_common.messaging.dead_letters.run_stages import Move, Progress, next_move
from rappit_common.messaging.dead_letters.runs import release_waiting
from rappit_common.unit_of_work import UnitOfWork, UnitsOfWork

POLL_FIRST_S = 0.05
POLL_MAX_S = 1.0
ERROR_PAUSE_S = 1.0
MAX_STOP_REASON_CHARACTERS = 500

_log = get_logger()
_letters = tables.dead_letters.c
_outbox = tables.outbox.c
_runs = tables.requeue_runs.c
_waiting = tables.requeue_waiting.c

# A letter is handled when its consumer's inbox has its message: claimed in the transaction that acted on it.
_COUNT_HANDLED = text(
    "UPDATE dead_letters AS letter SET run_state = NULL FROM inbox"
    " WHERE letter.run_id = :run_id AND letter.run_state = 'sent'"
    " AND inbox.consumer = letter.queue AND inbox.message_id = letter.message_id"
)
_COUNT_FAILED = text(
    "UPDATE dead_letters SET run_state = NULL WHERE run_id = :run_id AND run_state = 'failed'"
    " RETURNING id, error_type, error_message"
)


class RequeueRunner:
    """Sends the letters of requeue runs, and stops a run whose letters fail again.

    A run's row is locked while it is moved on (``SKIP LOCKED``), and its progress is written with the outbox rows of
    the letters it sends: whoever dies in a step has done nothing of it, and the next runner does it whole.

    Args:
        units: Of the service whose letters they are.
        answer_timeout_s: How long a letter sent may go without being handled or failing; longer than its retries take.
    """

    def __init__(self, units: UnitsOfWork[Any], *, answer_timeout_s: float) -> None:
        self._units = units
        self._answer_timeout_s = answer_timeout_s
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to move runs on."""
        self._running = asyncio.create_task(self._run(), name="requeue-runner")

    async def stop(self) -> None:
        """Stop; a step under way is rolled back and done by whoever comes next."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def _run(self) -> None:
        pause_s = POLL_FIRST_S
        while True:
            try:
                async with self._units.bypass_tenancy("a requeue run goes on") as unit:
                    moved = await self.step(unit, now=utc_now())
            except Exception as error:  # noqa: BLE001 - whatever happened, the run is as it was and is tried again
                _log.warning("requeue_runner_paused", error=repr(error))
                await asyncio.sleep(ERROR_PAUSE_S)
                continue
            pause_s = POLL_FIRST_S if moved else min(POLL_MAX_S, pause_s * 2)
            if not moved:
                await asyncio.sleep(pause_s)

    async def step(self, unit: UnitOfWork, *, now: datetime) -> bool:
        """Move one run on that is due and that nobody else moves. Returns False when there is none."""
        due = (
            select(tables.requeue_runs)
            .where(_runs.finished_at.is_(None), _runs.next_at <= now)
            .order_by(_runs.next_at)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        run = (await unit.session.execute(due)).one_or_none()
        if run is None:
            return False
        handled: Any = await unit.session.execute(_COUNT_HANDLED, {"run_id": run.id})
        failed = (await unit.session.execute(_COUNT_FAILED, {"run_id": run.id})).all()
        progress = await self._progress(unit, run, failed)
        move = next_move(progress, now=now, answer_timeout_s=self._answer_timeout_s)
        sent = await self._send(unit, run, move.send, now)
        await self._write_down(unit, run, move, now, handled=handled.rowcount, failed=len(failed), sent=sent)
        return True

    async def _progress(self, unit: UnitOfWork, run: Row[Any], failed: Any) -> Progress:
        # An answer is expected from the broker's confirm on: while the broker is away, nobody can give one. A copy that
        # cannot be sent for another reason (its queue is gone) is no such case.
        waits_for_broker = and_(_outbox.id.is_not(None), _outbox.sent_at.is_(None), _outbox.failures == 0)
        oldest = func.min(func.coalesce(_outbox.sent_at, _letters.requeued_at)).filter(not_(waits_for_broker))
        under_way = (
            select(func.count(), oldest)
            .select_from(tables.dead_letters.outerjoin(tables.outbox, _outbox.id == _letters.requeue_outbox_id))
            # One that failed since the failures were counted is under way still: the next step counts it.
            .where(_letters.run_id == run.id, _letters.run_state.is_not(None))
        )
        in_flight, oldest_sent_at = (await unit.session.execute(under_way)).one()
        failure = None
        if failed:
            first = failed[0]
            failure = f"Letter {first.id} failed again: {first.error_type}: {first.error_message}"
        return Progress(
            state=run.state,
            stage=run.stage,
            rate_per_s=run.rate_per_s,
            total=run.total,
            sent=run.sent,
            in_flight=in_flight,
            oldest_sent_at=oldest_sent_at,
            failure=failure and failure[:MAX_STOP_REASON_CHARACTERS],
        )

    async def _send(self, unit: UnitOfWork, run: Row[Any], count: int, now: datetime) -> int:
        if count == 0:
            return 0
        waiting = (
            select(_waiting.letter_id)
            .join(tables.dead_letters, _letters.id == _waiting.letter_id)
            .where(_waiting.run_id == run.id)
            .order_by(_waiting.letter_id)
            .limit(count)
            .with_for_update()
        )
        letter_ids: list[UUID] = list((await unit.session.scalars(waiting)).all())
        await unit.session.execute(delete(tables.requeue_waiting).where(_waiting.letter_id.in_(letter_ids)))
        await send_copies(unit, letter_ids, actor=run.requested_by, now=now, run_id=run.id)
        return len(letter_ids)

    async def _write_down(
        self, unit: UnitOfWork, run: Row[Any], move: Move, now: datetime, *, handled: int, failed: int, sent: int
    ) -> None:
        values: dict[str, Any] = {
            "stage": move.stage,
            "handled": run.handled + handled,
            "failed": run.failed + failed,
            "sent": run.sent + sent,
            "next_at": move.next_at,
        }
        if handled or failed or sent or move.stop_reason or move.finished:
            values["updated_at"] = now
        if move.stop_reason is not None:
            values |= {"state": "stopped", "stop_reason": move.stop_reason}
            await release_waiting(unit, run.id)
            await unit.audit("requeue-runner", "requeue_run.stop", move.stop_reason, run_id=str(run.id))
            _log.warning("requeue_run_stopped", run_id=str(run.id), reason=move.stop_reason)
        if move.done:
            values["state"] = "done"
            _log.info("requeue_run_done", run_id=str(run.id), handled=run.handled + handled)
        if move.finished:
            values["finished_at"] = now
            # What never answered is no affair of this run any more.
            forget = update(tables.dead_letters).where(_letters.run_id == run.id, _letters.run_state.is_not(None))
            await unit.session.execute(forget.values(run_state=None))
        await unit.session.execute(update(tables.requeue_runs).where(_runs.id == run.id).values(values))
