"""Discarding, restoring and noting dead letters."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, exists, func, insert, not_, select, text, update

from rappit_common.clock import new_id
from rappit_common.messaging import tables
from rappit_common.messaging.dead_letters.filters import Selection
from rappit_common.messaging.dead_letters.refusals import DeadLetterNotDeadError, TooManyLettersError
from rappit_common.messaging.dead_letters.requeue import lock_letter, refuse_unless_dead
from rappit_common.messaging.dead_letters.search import letter_not_found
from rappit_common.unit_of_work import UnitOfWork

# Each of a letter's indexes is written anew when it changes: no more than fit into a statement's 30 s on a busy server.
MAX_LETTERS_CHANGED = 20_000
# Acts on many lock their rows in whatever order they find them: one after another they cannot wait for each other.
_TAKE_TURNS = text("SELECT pg_advisory_xact_lock(hashtextextended(current_schema(), 7274696003))")

_letters = tables.dead_letters.c
_waiting = tables.requeue_waiting.c
_RESTORED: dict[str, Any] = {"status": "dead", "discarded_by": None, "discarded_at": None, "discard_reason": None}


@dataclass(frozen=True, slots=True)
class Changed:
    """How many letters were meant, and how many of them were changed."""

    matched: int
    changed: int


async def discard_letter(unit: UnitOfWork, letter_id: UUID, *, actor: str, reason: str, now: datetime) -> bool:
    """Put a dead letter aside for good. Returns False when it was discarded already.

    Raises:
        DeadLetterNotFoundError: No such id.
        DeadLetterNotDeadError: It was requeued: what becomes of it is not ours to say any more.
        DeadLetterInRunError: A run that is under way has to do with it.
    """
    row = await lock_letter(unit, letter_id)
    if row.status == "discarded":
        return False
    refuse_unless_dead(row)
    values = {"status": "discarded", "discarded_by": actor, "discarded_at": now, "discard_reason": reason}
    await unit.session.execute(update(tables.dead_letters).where(_letters.id == letter_id).values(values))
    return True


async def restore_letter(unit: UnitOfWork, letter_id: UUID) -> bool:
    """Make a discarded letter dead again. Returns False when it is dead already.

    Raises:
        DeadLetterNotFoundError: No such id.
        DeadLetterNotDeadError: It was requeued.
    """
    row = await lock_letter(unit, letter_id)
    if row.status == "requeued":
        raise DeadLetterNotDeadError("This dead letter was requeued already.", id=str(letter_id), status=row.status)
    if row.status == "dead":
        return False
    await unit.session.execute(update(tables.dead_letters).where(_letters.id == letter_id).values(_RESTORED))
    return True


async def add_note(unit: UnitOfWork, letter_id: UUID, *, author: str, words: str, now: datetime) -> UUID | None:
    """Add a note to a letter. Returns the letter's organization.

    Raises:
        DeadLetterNotFoundError: No such id.
    """
    statement = select(_letters.organization_id).where(_letters.id == letter_id).with_for_update(key_share=True)
    row: Row[Any] | None = (await unit.session.execute(statement)).one_or_none()
    if row is None:
        raise letter_not_found(letter_id)
    note = {"id": new_id(), "letter_id": letter_id, "author": author, "at": now, "text": words}
    await unit.session.execute(insert(tables.dead_letter_notes).values(note))
    return row.organization_id


async def discard_letters(
    unit: UnitOfWork, selection: Selection, *, actor: str, reason: str, now: datetime, dry_run: bool
) -> Changed:
    """Put every dead letter of a selection aside; those in a run that is under way stay in it.

    Raises:
        TooManyLettersError: More than 20,000 would be changed.
    """
    values = {"status": "discarded", "discarded_by": actor, "discarded_at": now, "discard_reason": reason}
    return await _change(unit, selection, [*free_and_dead()], values, dry_run=dry_run)


async def restore_letters(unit: UnitOfWork, selection: Selection, *, dry_run: bool) -> Changed:
    """Make every discarded letter of a selection dead again.

    Raises:
        TooManyLettersError: More than 20,000 would be changed.
    """
    return await _change(unit, selection, [_letters.status == "discarded"], _RESTORED, dry_run=dry_run)


def free_and_dead() -> tuple[ColumnElement[bool], ...]:
    """Return what a letter must be to be taken: dead, and in no run that still has to do with it."""
    waiting = exists(select(_waiting.letter_id).where(_waiting.letter_id == _letters.id))
    return (_letters.status == "dead", _letters.run_state.is_(None), not_(waiting))


async def take_turns(unit: UnitOfWork) -> None:
    """Wait until no other act on many letters of this service is under way."""
    await unit.session.execute(_TAKE_TURNS)


def refuse_too_many(count: int, max_letters: int) -> None:
    """Refuse an act on more letters than one statement should take.

    Raises:
        TooManyLettersError: It is more than ``max_letters``.
    """
    if count > max_letters:
        raise TooManyLettersError(
            f"These are {count} dead letters, and this is done to at most {max_letters} at once: narrow the filter, for"
            " example by time.",
            matched=count,
            max_letters=max_letters,
        )


async def _change(
    unit: UnitOfWork,
    selection: Selection,
    changeable: Sequence[ColumnElement[bool]],
    values: dict[str, Any],
    *,
    dry_run: bool,
) -> Changed:
    await take_turns(unit)
    meant = selection.conditions()
    counting = select(func.count(), func.count().filter(*changeable)).select_from(tables.dead_letters).where(*meant)
    matched, would_change = (await unit.session.execute(counting)).one()
    refuse_too_many(would_change, MAX_LETTERS_CHANGED)
    if dry_run or would_change == 0:
        return Changed(matched, would_change)
    changed = await unit.session.execute(update(tables.dead_letters).where(*meant, *changeable).values(values))
    return Changed(matched, changed.rowcount)  # pyright: ignore[reportAttributeAccessIssue] - an update has it
