"""What the operator's endpoints take and give."""

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import Row

from rappit_common.messaging.dead_letters.filters import LetterFilter, Selection, ShownStatus
from rappit_common.messaging.topology import Subscription
from rappit_common.pagination import DEFAULT_PAGE_ROWS, PageCursor, PageLimit
from rappit_common.web.ops.links import order_link, webhook_link
from rappit_common.web.ops.pretty import pretty_json

MAX_EDITED_CHARACTERS = 1024 * 1024
MAX_REASON_CHARACTERS = 500
MAX_NOTE_CHARACTERS = 5_000
MAX_RATE_PER_S = 1_000

Reason = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_REASON_CHARACTERS),
    Field(description="For the audit log."),
]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LetterPage(LetterFilter):
    """A filter, and which page of what it finds."""

    limit: PageLimit = DEFAULT_PAGE_ROWS
    cursor: PageCursor = None


class DeadLetterSummary(BaseModel):
    """A dead letter in a list."""

    id: UUID
    service: str
    queue: str
    event: str
    message_id: str
    organization_id: UUID | None
    status: ShownStatus
    error_type: str
    error_message: str
    attempts: int
    failures: int
    trace_id: str | None
    first_failed_at: datetime
    last_failed_at: datetime
    group_key: str
    run_id: UUID | None

    @classmethod
    def of(cls, service: str, row: Row[Any]) -> "DeadLetterSummary":
        """Return a row of the list."""
        return cls(**_summary(service, row))


class DeadLetterGroup(BaseModel):
    """Letters that failed in one queue in the same way."""

    group_key: str
    queue: str
    error_type: str
    message_shape: str
    count: int
    first_failed_at: datetime
    last_failed_at: datetime
    sample_id: UUID
    sample_message: str


class DeadLetterGroups(BaseModel):
    """The most frequent groups first, at most 200."""

    items: list[DeadLetterGroup]


class Note(BaseModel):
    """What somebody wrote about a dead letter."""

    author: str
    at: datetime
    text: str


class Links(BaseModel):
    """Paths of what a letter is about, as far as it says."""

    order: str | None
    webhook: str | None
    trace_id: str | None


class DeadLetterDetail(DeadLetterSummary):
    """A dead letter whole: ``body`` is its text, or base64 when ``body_encoding`` says so.

    ``handled_at`` is when its consumer's inbox claimed its message. ``schema`` is the JSON schema of what the consumer
    reads, when that is JSON.
    """

    headers: dict[str, Any]
    content_type: str
    body: str
    body_encoding: Literal["utf-8", "base64"]
    body_pretty: str | None
    error_stack: str
    message_shape: str
    notes: list[Note]
    links: Links
    handled_at: datetime | None
    requeued_by: str | None
    requeued_at: datetime | None
    discarded_by: str | None
    discarded_at: datetime | None
    discard_reason: str | None
    reads: dict[str, Any] | None = Field(serialization_alias="schema")


class RequeuedLetter(DeadLetterDetail):
    """A letter on its way back, and what the edit changed; no lines when it was not edited."""

    diff: list[str]


class WouldSend(BaseModel):
    """The copy that would be published."""

    exchange: str
    routing_key: str
    message_id: str
    headers: dict[str, Any]


class RequeuePreview(BaseModel):
    """What a requeue would do; nothing was sent."""

    would_send: WouldSend
    diff: list[str]


class RequeueDeadLetter(_Asked):
    """How to requeue: ``body`` replaces the text that failed, when the fault was in it."""

    body: str | None = Field(default=None, max_length=MAX_EDITED_CHARACTERS)
    reason: Reason = "requested"
    dry_run: bool = False


class DiscardDeadLetter(_Asked):
    """Why nobody needs it any more."""

    reason: Reason


class GivenReason(_Asked):
    """Why, when there is something to say."""

    reason: Reason = "requested"


class NewNote(_Asked):
    """What to remember about a letter."""

    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_NOTE_CHARACTERS)]


class ChangeLetters(Selection):
    """Which letters to change, and why. A dry run counts only."""

    reason: Reason
    dry_run: bool = False


class ChangedLetters(BaseModel):
    """How many letters were meant, and how many of them were changed (would be, in a dry run)."""

    matched: int
    changed: int


class BeginRun(Selection):
    """Which letters to send back, and how carefully."""

    reason: Reason
    dry_run: bool = False
    canary: bool = True
    rate_per_s: int = Field(default=50, ge=1, le=MAX_RATE_PER_S)


class Destination(BaseModel):
    """How many letters would go to one queue."""

    queue: str
    event: str
    count: int


class RequeueRunPreview(BaseModel):
    """What a run would send; nothing was begun."""

    total: int
    destinations: list[Destination]
    sample_ids: list[UUID]


class RequeueRun(BaseModel):
    """A run: how far it is. Each letter sent is handled, failed again, or not answered for yet."""

    id: UUID
    service: str
    state: Literal["running", "stopped", "done"]
    stage: Literal["canary_1", "canary_10", "all"]
    canary: bool
    rate_per_s: int
    total: int
    sent: int
    handled: int
    failed: int
    reason: str
    stop_reason: str | None
    requested_by: str
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, service: str, row: Row[Any]) -> "RequeueRun":
        """Return a run as it is shown."""
        return cls(service=service, **{name: getattr(row, name) for name in cls.model_fields.keys() - {"service"}})


class AuditEntry(BaseModel):
    """Who did what, when and why. Never changed once written."""

    id: int
    at: datetime
    actor: str
    action: str
    reason: str
    organization_id: UUID | None
    detail: dict[str, Any]
    trace_id: str | None


def _summary(service: str, row: Row[Any]) -> dict[str, Any]:
    names = DeadLetterSummary.model_fields.keys() - {"service", "status"}
    return {**{name: getattr(row, name) for name in names}, "service": service, "status": row.shown_status}


def detail_of(
    service: str, row: Row[Any], notes: Sequence[Row[Any]], subscription: Subscription | None
) -> DeadLetterDetail:
    """Return a letter whole."""
    try:
        body, encoding = row.body.decode(), "utf-8"
    except UnicodeDecodeError:
        body, encoding = base64.b64encode(row.body).decode(), "base64"
    taken = DeadLetterSummary.model_fields.keys() | {"body", "body_encoding", "body_pretty", "notes", "links", "reads"}
    return DeadLetterDetail(
        **_summary(service, row),
        **{name: getattr(row, name) for name in DeadLetterDetail.model_fields.keys() - taken},
        body=body,
        body_encoding=encoding,
        body_pretty=pretty_json(row.body),
        notes=[Note(author=note.author, at=note.at, text=note.text) for note in notes],
        links=Links(
            order=order_link(row.headers, row.body),
            webhook=webhook_link(row.headers, row.message_id),
            trace_id=row.trace_id,
        ),
        reads=None if subscription is None else subscription.schema,
    )
