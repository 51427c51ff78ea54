"""All SQL about channels."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from rappit_gateway.models import Channel, ChannelSecret


class ChannelRepository:
    """The channels of one organization, or of all under a bypass."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def find(self, channel_id: UUID, *, for_update: bool = False) -> Channel | None:
        """Return a channel with its secrets, locked when asked for; None when this tenant has no such channel."""
        statement = select(Channel).where(Channel.id == channel_id).options(selectinload(Channel.secrets))
        if for_update:
            statement = statement.with_for_update()
        return await self._session.scalar(statement)

    async def find_live_by_source(self, provider: str, source: str) -> Channel | None:
        """Return the channel that already receives from this shop."""
        return await self._session.scalar(
            select(Channel).where(
                Channel.provider == provider, Channel.source == source, Channel.deactivated_at.is_(None)
            )
        )

    async def page(self, *, rows: int, before: UUID | None) -> Sequence[Channel]:
        """Return channels with their secrets, newest first, beginning after ``before``."""
        statement = select(Channel).options(selectinload(Channel.secrets)).order_by(Channel.id.desc()).limit(rows)
        if before is not None:
            statement = statement.where(Channel.id < before)
        return (await self._session.scalars(statement)).all()

    async def add(self, channel: Channel) -> None:
        """Write a new channel and its secrets."""
        self._session.add(channel)
        await self._session.flush()

    async def flush(self) -> None:
        """Write what was changed so far, so that the database's defaults are known."""
        await self._session.flush()

    async def remove_expired_secrets(self, channel_id: UUID, now: datetime) -> None:
        """Forget the secrets of a channel that no longer count."""
        await self._session.execute(
            delete(ChannelSecret).where(ChannelSecret.channel_id == channel_id, ChannelSecret.expires_at <= now)
        )
