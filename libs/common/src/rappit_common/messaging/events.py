"""What services tell each other: facts in the past tense, whole states with a version."""

from typing import ClassVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict

EVENTS_EXCHANGE = "rappit.events"
DEAD_LETTERS_EXCHANGE = "rappit.dead-letters"

HEADER_ORGANIZATION = "rappit-organization-id"
HEADER_ATTEMPT = "rappit-attempt"
HEADER_ERROR_TYPE = "rappit-error-type"
HEADER_ERROR_MESSAGE = "rappit-error-message"
HEADER_ERROR_STACK = "rappit-error-stack"
HEADER_REQUEUE = "rappit-requeue-id"


class PublishedEvent(BaseModel):
    """An event as its publisher writes it. Its JSON form is the contract in the service's ``contracts/<name>/``.

    ``event_name`` is also the routing key: ``<service>.<thing-happened>.v<n>``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    event_name: ClassVar[str]
    mandatory: ClassVar[bool] = True
    """Whether an event without any queue waits in the outbox for its consumer to be deployed (True), or is
    published to nobody (False: announcements that may have no listener)."""

    organization_id: UUID


class ReceivedEvent(BaseModel):
    """An event as a consumer reads it: only the fields it uses, tolerant of all others."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    organization_id: UUID
