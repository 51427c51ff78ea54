"""Requeue runs: many letters sent back step by step. Asked for and stopped here, moved on by the runner (ADR 0010)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, delete, func, insert, literal, select, tuple_, update

from rappit_common.clock import new_id
from rappit_common.messaging import tables
from rappit_common.messaging.dead_letters.acts import free_and_dead, refuse_too_many, take_turns
from rappit_common.messaging.dead_letters.filters import Selection
from rappit_common.messaging.dead_letters.refusals import NothingToRequeueError, RequeueRunNotFoundError
from rappit_common.unit_of_work import UnitOfWork

MAX_LETTERS_IN_RUN = 100_000
MAX_DESTINATIONS = 200
MAX_SAMPLE_IDS = 10

_letters = tables.dead_letters.c
_runs = tables.requeue_runs.c


@dataclass(frozen=True, slots=True)
class RunOrder:
    """What an operator asks of a run."""

    selection: Selection
    reason: str
    canary: bool
    rate_per_s: int
    requested_by: str


@dataclass(frozen=True, slots=True)
class RunPreview:
    """What a run would send: how many, where to, and a few of them."""

    total: int
    destinations: Sequence[tuple[str, str, int]]
    sample_ids: Sequence[UUID]


async def preview_run(unit: UnitOfWork, selection: Selection) -> RunPreview:
    """Return what a run over ``selection`` would send, and change nothing.

    Raises:
        NothingToRequeueError: None of it is dead and free.
        TooManyLettersError: More than 100,000 are.
    """
    meant = [*selection.conditions(), *free_and_dead()]
    total = await _count(unit, meant)
    by_destination = (
        select(_letters.queue, _letters.event, func.count().label("count"))
        .where(*meant)
        .group_by(_letters.queue, _letters.event)
        .order_by(func.count().desc(), _letters.queue, _letters.event)
        .limit(MAX_DESTINATIONS)
    )
    rows = (await unit.session.execute(by_destination)).all()
    destinations = [(queue, event, count) for queue, event, count in rows]
    first = select(_letters.id).where(*meant).order_by(_letters.id).limit(MAX_SAMPLE_IDS)
    sample_ids = (await unit.session.scalars(first)).all()
    return RunPreview(total, destinations, sample_ids)


async def begin_run(unit: UnitOfWork, order: RunOrder, *, now: datetime) -> UUID:
    """Begin a run over what is dead and free among the letters selected. Returns its id.

    Each letter waits for one run at most, so of two runs begun at once none has a letter of the other.

    Raises:
        NothingToRequeueError: None of it is dead and free.
        TooManyLettersError: More than 100,000 are.
    """
    await take_turns(unit)
    meant = [*order.selection.conditions(), *free_and_dead()]
    await _count(unit, meant)
    run_id = new_id()
    # Locked, so that what somebody requeues or discards at this moment is not taken.
    chosen = select(_letters.id, literal(run_id)).where(*meant).with_for_update(key_share=True, of=tables.dead_letters)
    taking = insert(tables.requeue_waiting).from_select(["letter_id", "run_id"], chosen)
    taken: Any = await unit.session.execute(taking)
    if taken.rowcount == 0:
        raise _nothing_to_requeue()
    run = {
        "id": run_id,
        "state": "running",
        "stage": "canary_1" if order.canary else "all",
        "canary": order.canary,
        "rate_per_s": order.rate_per_s,
        "total": taken.rowcount,
        "selection": order.selection.told(),
        "reason": order.reason,
        "requested_by": order.requested_by,
        "created_at": now,
        "updated_at": now,
        "next_at": now,
    }
    await unit.session.execute(insert(tables.requeue_runs).values(run))
    return run_id


async def get_run(unit: UnitOfWork, run_id: UUID, *, lock: bool = False) -> Row[Any]:
    """Return one run.

    Raises:
        RequeueRunNotFoundError: No such id.
    """
    statement = select(tables.requeue_runs).where(_runs.id == run_id)
    row = (await unit.session.execute(statement.with_for_update() if lock else statement)).one_or_none()
    if row is None:
        raise RequeueRunNotFoundError(f"There is no requeue run {run_id} here.", id=str(run_id))
    return row


async def page_of_runs(unit: UnitOfWork, *, limit: int, before_id: UUID | None) -> list[Row[Any]]:
    """Return runs, the newest first: their ids rise with time."""
    statement = select(tables.requeue_runs).order_by(_runs.id.desc()).limit(limit)
    if before_id is not None:
        statement = statement.where(tuple_(_runs.id) < tuple_(literal(before_id)))
    return list((await unit.session.execute(statement)).all())


async def stop_run(unit: UnitOfWork, run_id: UUID, *, why: str, now: datetime) -> bool:
    """Stop a run: what it has not sent yet is plainly dead again. Returns False when it was not running any more.

    What is under way is followed to its end by the runner.

    Raises:
        RequeueRunNotFoundError: No such id.
    """
    run = await get_run(unit, run_id, lock=True)
    if run.state != "running":
        return False
    stopped = {"state": "stopped", "stop_reason": why, "updated_at": now, "next_at": now}
    await unit.session.execute(update(tables.requeue_runs).where(_runs.id == run_id).values(stopped))
    await release_waiting(unit, run_id)
    return True


async def release_waiting(unit: UnitOfWork, run_id: UUID) -> None:
    """Let go of the letters that a run has not sent."""
    await unit.session.execute(delete(tables.requeue_waiting).where(tables.requeue_waiting.c.run_id == run_id))


async def _count(unit: UnitOfWork, meant: Sequence[ColumnElement[bool]]) -> int:
    counting = select(func.count()).select_from(tables.dead_letters).where(*meant)
    count = (await unit.session.execute(counting)).scalar_one()
    if count == 0:
        raise _nothing_to_requeue()
    refuse_too_many(count, MAX_LETTERS_IN_RUN)
    return count


def _nothing_to_requeue() -> NothingToRequeueError:
    return NothingToRequeueError(
        "None of these letters is dead and free: they were requeued, discarded, or are in a run."
    )
