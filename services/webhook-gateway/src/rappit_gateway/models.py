"""The gateway's own tables: channels and their secrets."""

from datetime import datetime
from typing import Any
from uuid import UUID

from rappit_common.clock import new_id
from rappit_common.database.base import NAMING, Base, TenantScoped
from sqlalchemy import DateTime, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Uuid, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship


class GatewayBase(Base):
    """Base of the gateway's tables."""

    __abstract__ = True
    metadata = MetaData(naming_convention=NAMING)


class ChannelSecret(TenantScoped, GatewayBase):
    """One secret that a channel signs with, encrypted; several at a time, so that it can be rotated without a gap."""

    __tablename__ = "channel_secrets"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=new_id)
    channel_id: Mapped[UUID] = mapped_column(Uuid, ForeignKey("channels.id", ondelete="CASCADE"), index=True)
    ciphertext: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class Channel(TenantScoped, GatewayBase):
    """A shop that sends webhooks for one organization."""

    __tablename__ = "channels"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=new_id)
    provider: Mapped[str] = mapped_column(String(40))
    name: Mapped[str] = mapped_column(String(120))
    source: Mapped[str | None] = mapped_column(String(255))
    options: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    quota_per_minute: Mapped[int | None] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    deactivated_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    secrets: Mapped[list[ChannelSecret]] = relationship(
        lazy="raise", order_by=ChannelSecret.id, cascade="all, delete-orphan"
    )

    __table_args__ = (
        Index("ix_channels_organization_id_id", "organization_id", "id"),
        # Two live channels of one shop would import each of its orders twice.
        Index(
            "uq_channels_live_source",
            "organization_id",
            "provider",
            "source",
            unique=True,
            postgresql_where=text("deactivated_at IS NULL AND source IS NOT NULL"),
        ),
    )
