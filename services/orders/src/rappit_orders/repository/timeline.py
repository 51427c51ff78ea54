"""The timeline: appended to, never changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from rappit_common.tracing import current_trace_id
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from rappit_orders.domain.order import Happening
from rappit_orders.models import OrderEventRow

MAX_TIMELINE_ROWS = 500
MAX_ACTOR_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """Something that happened to an order."""

    at: datetime
    kind: str
    message: str
    actor: str
    trace_id: str | None
    detail: Mapping[str, Any]


class TimelineRepository:
    """What happened to orders of one organization."""

    def __init__(self, session: AsyncSession, organization_id: UUID) -> None:
        self._session = session
        self._organization_id = organization_id

    async def append(
        self, order_id: UUID | None, happenings: Sequence[Happening], *, at: datetime, cause: Mapping[str, Any]
    ) -> None:
        """Append what happened, with the current trace.

        Args:
            order_id: To which order; None for a delivery that asked nothing of any.
            happenings: In the order they happened.
            at: When.
            cause: Facts of the message or request behind them, put beside each one's own.
        """
        if not happenings:
            return
        trace_id = current_trace_id()
        rows = [
            {
                "organization_id": self._organization_id,
                "order_id": order_id,
                "at": at,
                "kind": happening.kind,
                "message": happening.message,
                "actor": happening.actor[:MAX_ACTOR_CHARACTERS],
                "trace_id": trace_id,
                "detail": {**cause, **happening.detail},
            }
            for happening in happenings
        ]
        await self._session.execute(insert(OrderEventRow), rows)

    async def of_order(self, order_id: UUID) -> list[TimelineEntry]:
        """Return an order's newest 500 happenings, the oldest first."""
        rows = await self._session.scalars(
            select(OrderEventRow)
            .where(OrderEventRow.order_id == order_id)
            .order_by(OrderEventRow.id.desc())
            .limit(MAX_TIMELINE_ROWS)
        )
        entries = [TimelineEntry(r.at, r.kind, r.message, r.actor, r.trace_id, r.detail) for r in rows]
        return entries[::-1]
