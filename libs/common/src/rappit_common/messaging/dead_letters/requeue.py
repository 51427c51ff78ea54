"""Sending dead letters back to where they failed, by the outbox."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select, text

from rappit_common.clock import new_id
from rappit_common.messaging import tables
from rappit_common.messaging.dead_letters.refusals import DeadLetterInRunError, DeadLetterNotDeadError
from rappit_common.messaging.dead_letters.search import letter_not_found
from rappit_common.unit_of_work import UnitOfWork

_letters = tables.dead_letters.c

# Inside of the database: a body has up to 10 MiB, and a run sends many at once. Headers beginning with x- are the
# broker's own, of one delivery; the mark tells the copy's failure from a late copy of the one before (the drain).
_COPY = text(
    "INSERT INTO outbox"
    " (id, organization_id, event, exchange, routing_key, message_id, content_type, headers, body, mandatory)"
    " SELECT copy.outbox_id, letter.organization_id, letter.event, '', letter.queue, letter.message_id,"
    " letter.content_type,"
    " coalesce((SELECT jsonb_object_agg(header.key, header.value) FROM jsonb_each(letter.headers) AS header"
    " WHERE NOT starts_with(header.key, 'x-')), '{}') || jsonb_build_object('rappit-requeue-id', copy.outbox_id::text),"
    " coalesce(CAST(:body AS bytea), letter.body), true"
    " FROM unnest(CAST(:letter_ids AS uuid[]), CAST(:outbox_ids AS uuid[])) AS copy (letter_id, outbox_id)"
    " JOIN dead_letters AS letter ON letter.id = copy.letter_id"
)
_MARK = text(
    "UPDATE dead_letters AS letter SET status = 'requeued', requeue_outbox_id = copy.outbox_id,"
    " requeued_by = :actor, requeued_at = :now, run_id = CAST(:run_id AS uuid),"
    " run_state = CASE WHEN CAST(:run_id AS uuid) IS NOT NULL THEN 'sent' END"
    " FROM unnest(CAST(:letter_ids AS uuid[]), CAST(:outbox_ids AS uuid[])) AS copy (letter_id, outbox_id)"
    " WHERE letter.id = copy.letter_id"
)


def travelling_headers(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the headers a requeued copy carries, but for its mark."""
    return {name: value for name, value in headers.items() if not name.startswith("x-")}


async def lock_letter(unit: UnitOfWork, letter_id: UUID) -> Row[Any]:
    """Return where a letter stands, locked: of two acts at once the second finds what the first has done.

    Raises:
        DeadLetterNotFoundError: No such id.
        DeadLetterInRunError: A run that is under way has to do with it.
    """
    statement = select(_letters.id, _letters.status, _letters.organization_id, _letters.run_id, _letters.run_state)
    found = await unit.session.execute(statement.where(_letters.id == letter_id).with_for_update())
    row: Any = found.one_or_none()
    if row is None:
        raise letter_not_found(letter_id)
    if row.status == "dead":
        await _refuse_in_run(unit, row)
    return row


async def _refuse_in_run(unit: UnitOfWork, row: Row[Any]) -> None:
    # Failed and not counted yet, or waiting for its turn: either way the run must not lose sight of it. Asked once the
    # lock is held: a run that began while it was waited for is seen.
    waiting = tables.requeue_waiting.c
    run_id: UUID | None = row.run_id
    if row.run_state is None:
        run_id = await unit.session.scalar(select(waiting.run_id).where(waiting.letter_id == row.id))
    if run_id is not None:
        raise DeadLetterInRunError(
            f"This dead letter is in the requeue run {run_id}: stop the run first, or let it come to its end.",
            id=str(row.id),
            run_id=str(run_id),
        )


def refuse_unless_dead(row: Row[Any]) -> None:
    """Let through what is dead.

    Raises:
        DeadLetterNotDeadError: It was requeued, perhaps by a double click, or discarded.
    """
    if row.status == "requeued":
        raise DeadLetterNotDeadError("This dead letter was requeued already.", id=str(row.id), status=row.status)
    if row.status != "dead":
        raise DeadLetterNotDeadError(
            "This dead letter was discarded: restore it first.", id=str(row.id), status=row.status
        )


async def requeue_letter(
    unit: UnitOfWork, letter_id: UUID, *, actor: str, now: datetime, edited_body: bytes | None = None
) -> None:
    """Send a dead letter back to the queue it failed in, as a first attempt under its own message id.

    It travels by the outbox, so it is sent exactly when this commits, survives our death, and counts as requeued only
    after the broker's confirm.

    Args:
        unit: The transaction.
        letter_id: Which.
        actor: Who asked.
        now: The present.
        edited_body: Sent in place of the body that failed, which stays in the table.

    Raises:
        DeadLetterNotFoundError: No such id.
        DeadLetterNotDeadError: It was requeued already, perhaps by a double click, or discarded.
        DeadLetterInRunError: A run that is under way has to do with it.
    """
    refuse_unless_dead(await lock_letter(unit, letter_id))
    await send_copies(unit, [letter_id], actor=actor, now=now, edited_body=edited_body)


async def send_copies(
    unit: UnitOfWork,
    letter_ids: Sequence[UUID],
    *,
    actor: str,
    now: datetime,
    run_id: UUID | None = None,
    edited_body: bytes | None = None,
) -> None:
    """Put a copy of each letter into the outbox and mark it requeued, by a run if any; the caller holds their locks."""
    ids: dict[str, Any] = {"letter_ids": list(letter_ids), "outbox_ids": [new_id() for _ in letter_ids]}
    await unit.session.execute(_COPY, {**ids, "body": edited_body})
    await unit.session.execute(_MARK, {**ids, "actor": actor, "now": now, "run_id": run_id})
    unit.outbox.wrote()
