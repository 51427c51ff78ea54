"""Mapped tables.

An order is one row: it is always read and written whole, under its lock, and one row is one statement. What lists and
filters go by has columns of its own; the rest is JSON of the shapes in ``repository.mapping``.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from rappit_common.database.base import NAMING, Base, TenantScoped
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    DateTime,
    Identity,
    Index,
    MetaData,
    Numeric,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

STATES = ("received", "on_hold", "backordered", "reserved", "ready_to_ship", "cancelled")
_TIME = DateTime(timezone=True)
Json = dict[str, Any]


class OrdersBase(Base):
    """Base of this service's tables."""

    __abstract__ = True
    metadata = MetaData(naming_convention=NAMING)


class OrderRow(TenantScoped, OrdersBase):
    """An order. Its id is a UUIDv7, so that ordering by it is ordering by arrival."""

    __tablename__ = "orders"
    __table_args__ = (
        # The promise that a webhook, however often and from wherever it comes, is one order.
        UniqueConstraint("organization_id", "channel_id", "external_order_id", name="uq_orders_channel_order"),
        CheckConstraint(f"state IN ({', '.join(repr(s) for s in STATES)})", name="state_known"),
        CheckConstraint("order_version > 0 AND state_version > 0", name="versions_positive"),
        # A list's page is a range of one of these, newest first, whatever the filter and however many orders there are.
        Index("ix_orders_list", "organization_id", "id"),
        Index("ix_orders_list_state", "organization_id", "state", "id"),
        Index("ix_orders_list_channel", "organization_id", "channel_id", "id"),
        Index("ix_orders_list_channel_state", "organization_id", "channel_id", "state", "id"),
        Index("ix_orders_external", "organization_id", "external_order_id", "id"),
        # Room on each page for the versions an order goes through in its first seconds.
        {"postgresql_with": {"fillfactor": "80"}},
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    channel_id: Mapped[UUID | None] = mapped_column(Uuid)
    external_order_id: Mapped[str] = mapped_column(String(255))
    number: Mapped[str] = mapped_column(String(500))
    state: Mapped[str] = mapped_column(String(20))
    payment_state: Mapped[str] = mapped_column(String(20))
    order_version: Mapped[int] = mapped_column(BigInteger)
    state_version: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(String(3))
    total: Mapped[Decimal] = mapped_column(Numeric)
    placed_at: Mapped[datetime] = mapped_column(_TIME)
    created_at: Mapped[datetime] = mapped_column(_TIME)
    updated_at: Mapped[datetime] = mapped_column(_TIME)
    customer_name: Mapped[str | None] = mapped_column(Text)
    customer_email: Mapped[str | None] = mapped_column(Text)
    note: Mapped[str | None] = mapped_column(Text)
    hold_reason: Mapped[str | None] = mapped_column(String(50))
    hold_message: Mapped[str | None] = mapped_column(Text)
    shipping_address: Mapped[Json | None] = mapped_column(JSONB(none_as_null=True))
    lines: Mapped[list[Json]] = mapped_column(JSONB)
    demand: Mapped[list[Json]] = mapped_column(JSONB)
    reservation: Mapped[Json] = mapped_column(JSONB)
    shipments: Mapped[list[Json]] = mapped_column(JSONB)
    content_changed_at: Mapped[datetime | None] = mapped_column(_TIME)
    content_rank: Mapped[int | None] = mapped_column(SmallInteger)
    content_received_at: Mapped[datetime | None] = mapped_column(_TIME)
    cancellation_changed_at: Mapped[datetime | None] = mapped_column(_TIME)
    cancellation_rank: Mapped[int | None] = mapped_column(SmallInteger)
    cancellation_received_at: Mapped[datetime | None] = mapped_column(_TIME)
    channel_cancelled: Mapped[bool] = mapped_column(Boolean)
    merchant_cancelled: Mapped[bool] = mapped_column(Boolean)


class OrderEventRow(TenantScoped, OrdersBase):
    """What happened, to an order or to a delivery that asked nothing of one. Rows are never changed or removed."""

    __tablename__ = "order_events"
    __table_args__ = (
        Index("ix_order_events_timeline", "organization_id", "order_id", "id"),
        Index("ix_order_events_at", "organization_id", "at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    order_id: Mapped[UUID | None] = mapped_column(Uuid)
    at: Mapped[datetime] = mapped_column(_TIME)
    kind: Mapped[str] = mapped_column(String(50))
    message: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(String(200))
    trace_id: Mapped[str | None] = mapped_column(String(32))
    detail: Mapped[Json] = mapped_column(JSONB)
