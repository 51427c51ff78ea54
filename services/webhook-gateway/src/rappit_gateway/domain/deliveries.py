"""What becomes of a delivery, and which of two accounts of it is true."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from uuid import UUID

from rappit_common.errors import ConflictError, InvalidError, NotFoundError

MAX_DEDUPE_KEY_CHARACTERS = 600  # of the contract of gateway.webhook-received.v1
_REPLAYED = re.compile(r"#replay-[0-9a-f-]{36}\Z")


class DeliveryStatus(StrEnum):
    """Where a delivery stands."""

    ACCEPTED = "accepted"
    APPLIED = "applied"
    SUPERSEDED = "superseded"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"
    DEAD_LETTERED = "dead_lettered"
    REJECTED = "rejected"

    @property
    def rank(self) -> int:
        """What beats what, in whatever order it is heard of: a dead letter may be requeued and end well after all."""
        if self is DeliveryStatus.ACCEPTED:
            return 0
        return 1 if self is DeliveryStatus.DEAD_LETTERED else 2


class DeliveryNotFoundError(NotFoundError):
    """This organization's log has no such delivery."""

    code = "delivery_not_found"


class RejectedDeliveryError(ConflictError):
    """A rejected delivery was asked to run again."""

    code = "delivery_rejected"


class BodyGoneError(ConflictError):
    """The delivery's body is not kept any more, or never was."""

    code = "delivery_body_gone"


class EmptyFilterError(InvalidError):
    """Every delivery there is was asked to run again."""

    code = "empty_filter"


@dataclass(frozen=True, slots=True)
class DeliveryOutcome:
    """What became of one accepted webhook, with what the log needs should it not have heard of the webhook itself.

    Attributes:
        message_id: Of its message, and the delivery's id in the log.
        cause: Stable name of what it died of.
        detail: A sentence.
        trace_id: In which it was settled.
    """

    message_id: UUID
    channel_id: UUID
    provider: str
    topic: str
    delivery_id: str
    received_at: datetime
    status: DeliveryStatus
    cause: str | None
    detail: str | None
    external_order_id: str | None
    order_id: UUID | None
    settled_at: datetime
    trace_id: str | None

    @property
    def precedence(self) -> tuple[int, datetime]:
        """The greater is the true one."""
        return self.status.rank, self.settled_at


def true_outcomes(heard: Iterable[DeliveryOutcome]) -> list[DeliveryOutcome]:
    """Return the true outcome of each delivery, in the order of their ids, whatever was heard twice or out of order."""
    best: dict[UUID, DeliveryOutcome] = {}
    for outcome in heard:
        known = best.get(outcome.message_id)
        if known is None or known.precedence < outcome.precedence:
            best[outcome.message_id] = outcome
    return [best[message_id] for message_id in sorted(best)]


def replay_key(dedupe_key: str, replay_id: UUID) -> str:
    """Return a dedupe key that no delivery had before, so that orders evaluates the replay anew."""
    suffix = f"#replay-{replay_id}"
    key = _REPLAYED.sub("", dedupe_key)
    if len(key) + len(suffix) > MAX_DEDUPE_KEY_CHARACTERS:
        key = "sha256-" + sha256(key.encode()).hexdigest()
    return key + suffix


def first_id_at(moment: datetime) -> UUID:
    """Return the least UUIDv7 that could be made at ``moment``: ids are ordered as the times they were made at."""
    return UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)
