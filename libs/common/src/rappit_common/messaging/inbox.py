"""The inbox: which messages a consumer has already acted on, claimed in the transaction that acts."""

from collections.abc import Iterable

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from rappit_common.errors import InvalidError

# One array and not one row of parameters each: the statement is compiled and prepared once, whatever the batch's size.
_CLAIM = text(
    "INSERT INTO inbox (consumer, message_id) SELECT :consumer, claimed.id"
    " FROM unnest(CAST(:ids AS varchar[])) WITH ORDINALITY AS claimed (id, position) ORDER BY claimed.position"
    " ON CONFLICT DO NOTHING RETURNING message_id"
)


class UnidentifiedMessageError(InvalidError):
    """A message has no id."""

    code = "unidentified_message"


class Inbox:
    """Claims message ids for a consumer; a claim lives and dies with the unit of work's transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def claim(self, consumer: str, message_id: str | None) -> bool:
        """Claim one message. Returns False when this consumer already acted on it.

        A second delivery at the same time waits here for the first to commit or roll back.

        Raises:
            UnidentifiedMessageError: The message has no id, so that its duplicates could not be told apart.
        """
        return message_id in await self.claim_many(consumer, [message_id])

    async def claim_many(self, consumer: str, message_ids: Iterable[str | None]) -> set[str]:
        """Claim several messages, in one fixed order so that two batches never deadlock. Returns the new ones.

        Raises:
            UnidentifiedMessageError: One of them has no id, so that its duplicates could not be told apart.
        """
        wanted = {message_id or "" for message_id in message_ids}
        if "" in wanted:
            raise UnidentifiedMessageError("a message without an id cannot be deduplicated: publish it by an outbox")
        ordered = sorted(wanted)
        if not ordered:
            return set()
        return set((await self._session.execute(_CLAIM, {"consumer": consumer, "ids": ordered})).scalars())
