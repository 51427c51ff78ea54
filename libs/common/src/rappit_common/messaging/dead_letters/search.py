"""Finding dead letters: the list, the groups, one of them whole."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, lateral, literal, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from rappit_common.messaging import tables
from rappit_common.messaging.dead_letters.filters import LetterFilter, conditions_of, shown_status
from rappit_common.messaging.dead_letters.refusals import DeadLetterNotFoundError

MAX_GROUPS = 200
MAX_NOTES_SHOWN = 200
# A filter's plan hangs on its values: the one made for any values at all, which a connection takes to after five
# searches, sorts a million letters for a word that nearly all of them have.
_PLAN_ANEW = text("SET LOCAL plan_cache_mode = force_custom_plan")

_letters = tables.dead_letters.c
_waiting = tables.requeue_waiting.c
_RUN_ID = func.coalesce(
    select(_waiting.run_id).where(_waiting.letter_id == _letters.id).scalar_subquery(), _letters.run_id
).label("run_id")
"""The run a letter waits for, or the last that sent it."""

SUMMARY = (
    _letters.id,
    _letters.queue,
    _letters.event,
    _letters.message_id,
    _letters.organization_id,
    _letters.error_type,
    _letters.error_message,
    _letters.attempts,
    _letters.failures,
    _letters.trace_id,
    _letters.first_failed_at,
    _letters.last_failed_at,
    _letters.group_key,
    _RUN_ID,
    shown_status().label("shown_status"),
)
"""What a list shows; never a body, which may have 10 MiB."""

Position = tuple[datetime, UUID]
"""Of a letter in the list: when it failed last, and its id."""


async def page_of_letters(
    session: AsyncSession, wanted: LetterFilter, *, limit: int, before: Position | None
) -> list[Row[Any]]:
    """Return the summaries of dead letters, the last failed first, from ``before`` on."""
    statement = select(*SUMMARY).where(*conditions_of(wanted))
    if before is not None:
        place = tuple_(_letters.last_failed_at, _letters.id)
        statement = statement.where(place < tuple_(literal(before[0]), literal(before[1])))
    statement = statement.order_by(_letters.last_failed_at.desc(), _letters.id.desc()).limit(limit)
    await session.execute(_PLAN_ANEW)
    found: Any = await session.execute(statement)
    return found.all()


async def groups_of_letters(session: AsyncSession, wanted: LetterFilter) -> list[Row[Any]]:
    """Return what fails in the same way, the most frequent first, with the newest letter of each as a sample."""
    counted = (
        select(
            _letters.group_key,
            func.count().label("count"),
            func.min(_letters.first_failed_at).label("first_failed_at"),
            func.max(_letters.last_failed_at).label("last_failed_at"),
        )
        .where(*conditions_of(wanted))
        .group_by(_letters.group_key)
        .order_by(func.count().desc(), _letters.group_key)
        .limit(MAX_GROUPS)
        .subquery("counted")
    )
    one = tables.dead_letters.alias("one")
    newest = lateral(
        select(one.c.id, one.c.queue, one.c.error_type, one.c.message_shape, one.c.error_message)
        .where(one.c.group_key == counted.c.group_key, *conditions_of(wanted, one.c))
        .order_by(one.c.last_failed_at.desc(), one.c.id.desc())
        .limit(1),
        name="newest",
    )
    statement = (
        select(
            counted,
            newest.c.queue,
            newest.c.error_type,
            newest.c.message_shape,
            newest.c.id.label("sample_id"),
            newest.c.error_message.label("sample_message"),
        )
        .select_from(counted.join(newest, literal(value=True)))
        .order_by(counted.c.count.desc(), counted.c.group_key)
    )
    await session.execute(_PLAN_ANEW)
    return list((await session.execute(statement)).all())


async def get_letter(session: AsyncSession, letter_id: UUID) -> Row[Any]:
    """Return one dead letter whole, with when its consumer's inbox claimed it (``handled_at``).

    Raises:
        DeadLetterNotFoundError: No such id.
    """
    inbox = tables.inbox.c
    claimed = (
        select(inbox.claimed_at)
        .where(inbox.consumer == _letters.queue, inbox.message_id == _letters.message_id)
        .scalar_subquery()
    )
    columns = [column for column in _letters if column.key not in {"search", "run_id"}]
    statement = select(*columns, _RUN_ID, shown_status().label("shown_status"), claimed.label("handled_at"))
    row = (await session.execute(statement.where(_letters.id == letter_id))).one_or_none()
    if row is None:
        raise letter_not_found(letter_id)
    return row


async def notes_of_letter(session: AsyncSession, letter_id: UUID) -> list[Row[Any]]:
    """Return the newest 200 notes about a letter, the oldest of them first."""
    notes = tables.dead_letter_notes.c
    newest = select(notes.author, notes.at, notes.text).where(notes.letter_id == letter_id)
    found: Any = await session.execute(newest.order_by(notes.id.desc()).limit(MAX_NOTES_SHOWN))
    return found.all()[::-1]


def letter_not_found(letter_id: UUID) -> DeadLetterNotFoundError:
    """Return the refusal of an id that no letter has."""
    return DeadLetterNotFoundError(f"There is no dead letter {letter_id} here.", id=str(letter_id))
