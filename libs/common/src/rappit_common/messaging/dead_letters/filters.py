"""Which dead letters are meant: one filter for the lists, the groups, the export, and everything done to many."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import ColumnElement, and_, case, exists, func, literal_column, not_, or_, select

from rappit_common.messaging import tables

MAX_FILTER_VALUES = 20
MAX_FILTER_CHARACTERS = 500
MAX_IDS = 1_000

ShownStatus = Literal["dead", "requeueing", "requeued", "discarded"]
"""``requeueing`` until the broker has confirmed the copy."""

_Value = Annotated[str, Field(max_length=MAX_FILTER_CHARACTERS)]
Values = Annotated[list[_Value], Field(max_length=MAX_FILTER_VALUES)]
Organizations = Annotated[list[UUID], Field(max_length=MAX_FILTER_VALUES)]

SIMPLE = literal_column("'simple'::regconfig")
"""The configuration that neither stems nor drops words: identifiers are found as they are written."""


class LetterFilter(BaseModel):
    """Which dead letters: values of one field are alternatives, fields narrow each other, ``not_…`` excludes.

    ``text`` finds words of the error's message and of the body; ``"a phrase"``, ``or``, and ``-word`` to exclude.
    ``failed_since`` and ``failed_before`` are about the last failure.
    """

    model_config = ConfigDict(extra="forbid")

    status: Annotated[list[ShownStatus], Field(max_length=MAX_FILTER_VALUES)] = []
    queue: Values = []
    not_queue: Values = []
    event: Values = []
    not_event: Values = []
    organization_id: Organizations = []
    not_organization_id: Organizations = []
    error_type: Values = []
    not_error_type: Values = []
    group: Values = []
    not_group: Values = []
    text: Annotated[str | None, Field(max_length=MAX_FILTER_CHARACTERS)] = None
    failed_since: AwareDatetime | None = None
    failed_before: AwareDatetime | None = None

    def told(self) -> dict[str, Any]:
        """Return what it asks for, in a form JSON can hold; nothing when it means every letter there is."""
        said = self.model_dump(mode="json", include=set(LetterFilter.model_fields))
        return {name: value for name, value in said.items() if value}


class Selection(BaseModel):
    """The dead letters that something is done to: those named, or all that a filter finds."""

    model_config = ConfigDict(extra="forbid")

    ids: Annotated[list[UUID] | None, Field(min_length=1, max_length=MAX_IDS)] = None
    filter: LetterFilter | None = None

    @model_validator(mode="after")
    def _one_way(self) -> "Selection":
        if (self.ids is None) == (self.filter is None):
            raise ValueError("give either ids or filter, and not both")
        if self.filter is not None and not self.filter.told():
            raise ValueError("an empty filter means every letter there is: say which, for example by status or queue")
        return self

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return what a letter must meet."""
        if self.filter is not None:
            return conditions_of(self.filter)
        return [tables.dead_letters.c.id.in_(self.ids or [])]

    def told(self) -> dict[str, Any]:
        """Return it in a form the audit log can hold."""
        if self.filter is not None:
            return {"filter": self.filter.told()}
        return {"letter_ids": [str(letter_id) for letter_id in self.ids or []]}


def is_unconfirmed(letters: Any = tables.dead_letters.c) -> ColumnElement[bool]:
    """Return the condition that a letter's copy still waits for the broker's confirm."""
    outbox = tables.outbox.c
    copy = exists(select(outbox.id).where(outbox.id == letters.requeue_outbox_id, outbox.sent_at.is_(None)))
    return and_(letters.status == "requeued", copy)


def shown_status(letters: Any = tables.dead_letters.c) -> ColumnElement[str]:
    """Return a letter's status as it is shown."""
    return case((is_unconfirmed(letters), "requeueing"), else_=letters.status)


def conditions_of(wanted: LetterFilter, letters: Any = tables.dead_letters.c) -> list[ColumnElement[bool]]:
    """Return what a letter must meet to be found by ``wanted``.

    Args:
        wanted: Which.
        letters: The columns of the table, or of an alias of it.
    """
    found: list[ColumnElement[bool]] = []
    if wanted.status:
        found.append(_has_status(set(wanted.status), letters))
    for column, values, excluded in (
        (letters.queue, wanted.queue, wanted.not_queue),
        (letters.event, wanted.event, wanted.not_event),
        (letters.organization_id, wanted.organization_id, wanted.not_organization_id),
        (letters.error_type, wanted.error_type, wanted.not_error_type),
        (letters.group_key, wanted.group, wanted.not_group),
    ):
        if values:
            found.append(column.in_(values))
        if excluded:
            # A letter without a tenant is of none of those excluded.
            found.append(or_(column.is_(None), column.not_in(excluded)))
    if wanted.text:
        found.append(letters.search.bool_op("@@")(func.websearch_to_tsquery(SIMPLE, wanted.text)))
    found += _failed_between(wanted.failed_since, wanted.failed_before, letters)
    return found


def _has_status(wanted: set[ShownStatus], letters: Any) -> ColumnElement[bool]:
    stored = [status for status in ("dead", "discarded") if status in wanted]
    if {"requeueing", "requeued"} <= wanted:
        stored.append("requeued")
    found: list[ColumnElement[bool]] = [letters.status.in_(stored)] if stored else []
    if "requeued" not in stored:
        if "requeueing" in wanted:
            found.append(is_unconfirmed(letters))
        if "requeued" in wanted:
            found.append(and_(letters.status == "requeued", not_(is_unconfirmed(letters))))
    return or_(*found)


def _failed_between(since: datetime | None, before: datetime | None, letters: Any) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if since is not None:
        found.append(letters.last_failed_at >= since)
    if before is not None:
        found.append(letters.last_failed_at < before)
    return found
