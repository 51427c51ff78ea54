"""The gateway's own tables: channels and their secrets, and the log of what they delivered."""

from datetime import datetime
from typing import Any
from uuid import UUID

from rappit_common.clock import new_id
from rappit_common.database.base import NAMING, Base, TenantScoped
from sqlalchemy import (
    BigInteger,
    Boolean,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    Uuid,
    func,
    text,
)
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


class WebhookDelivery(TenantScoped, GatewayBase):
    """One webhook that reached a channel, and what became of it.

    Its id is its message's, a UUIDv7, so that ordering by it is ordering by arrival.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        # A page is a range of one of these, newest first; every search names its statuses, if need be all of them
        # (repository/deliveries.py), so that there is none without.
        Index("ix_webhook_deliveries_status", "organization_id", "status", "id"),
        Index("ix_webhook_deliveries_channel", "organization_id", "channel_id", "status", "id"),
        Index("ix_webhook_deliveries_topic", "organization_id", "topic", "status", "id"),
        Index(
            "ix_webhook_deliveries_external",
            "organization_id",
            "external_order_id",
            "id",
            postgresql_where=text("external_order_id IS NOT NULL"),
        ),
        Index(
            "ix_webhook_deliveries_cause",
            "organization_id",
            "cause",
            "id",
            postgresql_where=text("cause IS NOT NULL"),
        ),
        Index(
            "ix_webhook_deliveries_replay",
            "organization_id",
            "replay_of",
            "id",
            postgresql_where=text("replay_of IS NOT NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    channel_id: Mapped[UUID] = mapped_column(Uuid)
    provider: Mapped[str] = mapped_column(String(40))
    topic: Mapped[str] = mapped_column(String(255))
    delivery_id: Mapped[str] = mapped_column(String(255))
    dedupe_key: Mapped[str | None] = mapped_column(String(600))
    source: Mapped[str | None] = mapped_column(String(255))
    status: Mapped[str] = mapped_column(String(20))
    cause: Mapped[str | None] = mapped_column(String(300))
    detail: Mapped[str | None] = mapped_column(Text)
    external_order_id: Mapped[str | None] = mapped_column(String(255))
    order_id: Mapped[UUID | None] = mapped_column(Uuid)
    received_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    settled_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    body_bytes: Mapped[int | None] = mapped_column(BigInteger)
    spooled: Mapped[bool] = mapped_column(Boolean)
    trace_id: Mapped[str | None] = mapped_column(String(32))
    client: Mapped[str | None] = mapped_column(String(100))
    left_out: Mapped[int] = mapped_column(Integer)
    replay_of: Mapped[UUID | None] = mapped_column(Uuid)


class WebhookBody(TenantScoped, GatewayBase):
    """What a delivery said, to be shown and run again; apart, since it is never changed and removed sooner."""

    __tablename__ = "webhook_bodies"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    headers: Mapped[dict[str, Any]] = mapped_column(JSONB)
    body: Mapped[bytes] = mapped_column(LargeBinary)
