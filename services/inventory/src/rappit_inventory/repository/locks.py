"""The one order in which this service takes locks. Everything that changes stock follows it, so nothing deadlocks.

1. The inbox claims of the messages in hand, by message id; or the idempotency key of the request in hand.
2. The organization's catalogue lock: shared by whatever reads the catalogue or levels to decide, exclusive for whatever
   adds a SKU or a level. Without it a reservation that finds no level to lock and a first delivery that finds nobody
   waiting could pass each other unseen, and the order would wait for ever.
3. The document in hand, one at most: a transfer or a count.
4. Demands, by order id (new ones are inserted in that order too).
5. Holds, by id: after demands, since only the lock of an order's demand tells whether its first version has come and
   taken what it was promised. Whoever ends what is due skips those that are locked.
6. Levels, by SKU id and warehouse id.
7. Whatever belongs to a locked demand (lines, allocations, shipments, returns), document or hold (its lines), which
   needs no lock of its own.

Lines of waiting orders are looked up without locks, to choose which demands to lock: after 6 when stock arrived, so
that an order that just decided to wait is seen.
"""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_KEY = "hashtextextended(:organization_id, 7274696003)"
_SHARED = text(f"SELECT pg_advisory_xact_lock_shared({_KEY})")
_EXCLUSIVE = text(f"SELECT pg_advisory_xact_lock({_KEY})")


class Locks:
    """Takes the catalogue lock of one organization, until the transaction ends."""

    def __init__(self, session: AsyncSession, organization_id: UUID) -> None:
        self._session = session
        self._parameters = {"organization_id": str(organization_id)}

    async def read_catalogue(self) -> None:
        """Let nobody add SKUs or levels until we are done; others may read beside us."""
        await self._session.execute(_SHARED, self._parameters)

    async def extend_catalogue(self) -> None:
        """Be alone with the organization's catalogue and demands, to add SKUs or levels."""
        await self._session.execute(_EXCLUSIVE, self._parameters)
