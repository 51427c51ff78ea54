"""Removes what the delivery log need not keep, of every organization, each statement a bounded number of rows."""

from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

from rappit_gateway.domain.deliveries import first_id_at

PURGE_ROWS = 5_000
KEEP_REJECTED_ROWS = 1_000

# Arrays, so that each inner query runs once: joined, it may run again for every row, and its limit would be none.
_BODIES = text(
    "DELETE FROM webhook_bodies WHERE id = ANY (ARRAY(SELECT id FROM webhook_bodies WHERE id < :bound ORDER BY id"
    " LIMIT :rows FOR UPDATE SKIP LOCKED))"
)
_DELIVERIES = text(
    "DELETE FROM webhook_deliveries WHERE id = ANY (ARRAY(SELECT id FROM webhook_deliveries WHERE id < :bound"
    " ORDER BY id LIMIT :rows FOR UPDATE SKIP LOCKED))"
)
# By the index of channels and statuses: a channel's newest thousand are stepped over, which is all that it may have.
_REJECTED = text(
    "DELETE FROM webhook_deliveries WHERE id = ANY (ARRAY(SELECT surplus.id FROM channels CROSS JOIN LATERAL"
    " (SELECT id FROM webhook_deliveries AS logged WHERE logged.organization_id = channels.organization_id"
    " AND logged.channel_id = channels.id AND logged.status = 'rejected'"
    " ORDER BY logged.id DESC OFFSET :keep LIMIT :rows) AS surplus LIMIT :rows))"
)


class DeliveryRetention:
    """Purges the log; its unit of work sees every organization."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def purge_bodies(self, before: datetime) -> int:
        """Remove bodies received before. Returns how many; fewer than ``PURGE_ROWS`` when nothing is left."""
        return await self._purge(_BODIES, bound=first_id_at(before))

    async def purge_deliveries(self, before: datetime) -> int:
        """Remove rows received before. Returns how many."""
        return await self._purge(_DELIVERIES, bound=first_id_at(before))

    async def purge_rejected(self) -> int:
        """Remove the oldest rejected deliveries of each channel that has more than a thousand. Returns how many."""
        return await self._purge(_REJECTED, keep=KEEP_REJECTED_ROWS)

    async def _purge(self, statement: TextClause, **values: Any) -> int:
        done = await self._session.execute(statement, {"rows": PURGE_ROWS, **values})
        return cast("CursorResult[Any]", done).rowcount
