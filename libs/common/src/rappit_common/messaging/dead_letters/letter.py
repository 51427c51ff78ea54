"""A dead letter as the table holds it."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from aio_pika.abc import AbstractIncomingMessage

from rappit_common.clock import new_id
from rappit_common.messaging.dead_letters.shapes import group_key, message_shape
from rappit_common.messaging.events import (
    HEADER_ATTEMPT,
    HEADER_ERROR_MESSAGE,
    HEADER_ERROR_STACK,
    HEADER_ERROR_TYPE,
    HEADER_ORGANIZATION,
)
from rappit_common.messaging.headers import attempt_of, json_safe, storable
from rappit_common.tracing import TRACEPARENT

MAX_NAME_CHARACTERS = 200
TRACEPARENT_PARTS = 4
TRACE_ID_CHARACTERS = 32
DELIVERY_LIMIT_REACHED = "the broker gave up: the consumer died too often while it held this message"


def _organization(headers: Mapping[str, Any]) -> UUID | None:
    try:
        return UUID(str(headers.get(HEADER_ORGANIZATION)))
    except ValueError:
        return None


def _trace_id(headers: Mapping[str, Any]) -> str | None:
    parts = str(headers.get(TRACEPARENT, "")).split("-")
    return parts[1] if len(parts) == TRACEPARENT_PARTS and len(parts[1]) == TRACE_ID_CHARACTERS else None


def dead_letter_row(queue: str, message: AbstractIncomingMessage, *, now: datetime) -> dict[str, Any]:
    """Return the table's row for a message that arrived in ``<queue>.dlq``.

    A message that the broker itself gave up on (delivery limit) carries no error of ours; one that nobody gave an id is
    known by its body.
    """
    headers = json_safe(message.headers)
    message_id = storable(message.message_id or "")
    if not 0 < len(message_id) <= MAX_NAME_CHARACTERS:
        message_id = hashlib.sha256(message_id.encode() + message.body).hexdigest()
    attempts = attempt_of(headers)
    headers.pop(HEADER_ATTEMPT, None)
    errors = {name: headers.pop(name, None) for name in (HEADER_ERROR_TYPE, HEADER_ERROR_MESSAGE, HEADER_ERROR_STACK)}
    error_type = str(errors[HEADER_ERROR_TYPE] or "delivery_limit")[:MAX_NAME_CHARACTERS]
    error_message = str(errors[HEADER_ERROR_MESSAGE] or DELIVERY_LIMIT_REACHED)
    shape = message_shape(error_message)
    return {
        "id": new_id(),
        "queue": queue,
        "message_id": message_id,
        "event": storable(message.type or "")[:MAX_NAME_CHARACTERS],
        "organization_id": _organization(headers),
        "content_type": storable(message.content_type or "application/octet-stream")[:MAX_NAME_CHARACTERS],
        "headers": headers,
        "body": message.body,
        "error_type": error_type,
        "error_message": error_message,
        "error_stack": str(errors[HEADER_ERROR_STACK] or ""),
        "message_shape": shape,
        "group_key": group_key(queue, error_type, shape),
        "attempts": attempts,
        "trace_id": _trace_id(headers),
        "first_failed_at": now,
        "last_failed_at": now,
    }
