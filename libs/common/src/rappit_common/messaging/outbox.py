"""The outbox: what a use case wants to tell the world, written in the transaction that makes it true."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession

from rappit_common.clock import new_id
from rappit_common.messaging import tables
from rappit_common.messaging.events import EVENTS_EXCHANGE, HEADER_ORGANIZATION, PublishedEvent
from rappit_common.tracing import TRACEPARENT, current_traceparent


def outbox_row(event: PublishedEvent, *, traceparent: str | None = None) -> dict[str, Any]:
    """Return the outbox row that publishes ``event``; its id becomes the message's id.

    Args:
        event: The fact to publish.
        traceparent: The trace to continue; the current span's when not given (a batch gives each message's own).
    """
    row_id = new_id()
    headers = {HEADER_ORGANIZATION: str(event.organization_id)}
    trace = traceparent or current_traceparent()
    if trace is not None:
        headers[TRACEPARENT] = trace
    return {
        "id": row_id,
        "organization_id": event.organization_id,
        "event": event.event_name,
        "exchange": EVENTS_EXCHANGE,
        "routing_key": event.event_name,
        "message_id": str(row_id),
        "content_type": "application/json",
        "headers": headers,
        "body": event.model_dump_json().encode(),
        "mandatory": event.mandatory,
    }


class NoRelayError(RuntimeError):
    """A service without a broker has told something to its outbox, where nobody would ever fetch it. A bug."""


class Outbox:
    """Collects a unit of work's messages and writes them in one statement just before it commits."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session
        self._rows: list[dict[str, Any]] = []
        self.used = False
        self.has_relay = True

    def add(self, event: PublishedEvent, *, traceparent: str | None = None) -> UUID:
        """Publish ``event`` if, and only if, this unit of work commits. Returns the message's id."""
        return self._append(outbox_row(event, traceparent=traceparent))

    def add_message(
        self,
        *,
        event: str,
        exchange: str,
        routing_key: str,
        message_id: str,
        body: bytes,
        content_type: str,
        headers: Mapping[str, Any],
        organization_id: UUID | None,
    ) -> UUID:
        """Publish a message that already has its bytes and its id: a spooled webhook, a requeued dead letter."""
        return self._append(
            {
                "id": new_id(),
                "organization_id": organization_id,
                "event": event,
                "exchange": exchange,
                "routing_key": routing_key,
                "message_id": message_id,
                "content_type": content_type,
                "headers": dict(headers),
                "body": body,
                "mandatory": True,
            }
        )

    def _append(self, row: dict[str, Any]) -> UUID:
        if not self.has_relay:
            raise NoRelayError(f"{row['event']} would stay in the outbox: this service is composed without a broker")
        self._rows.append(row)
        return row["id"]

    def wrote(self) -> None:
        """Say that rows were written past this object, where a statement copies them inside of the database."""
        if not self.has_relay:
            raise NoRelayError("rows would stay in the outbox: this service is composed without a broker")
        self.used = True

    async def flush(self) -> None:
        """Write what was added. Called by the unit of work before its commit."""
        if self._rows:
            rows: Sequence[dict[str, Any]] = self._rows
            self._rows, self.used = [], True
            await self._session.execute(insert(tables.outbox), list(rows))
