"""Shipping's mapped tables."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from rappit_common.clock import new_id
from rappit_common.database.base import NAMING, Base, TenantScoped
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Enum,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from rappit_shipping.domain.shipments import UNSETTLED, ShipmentStatus

Timestamp = DateTime(timezone=True)


def _values(kind: type[StrEnum]) -> list[str]:
    return [member.value for member in kind]


StatusText = Enum(
    ShipmentStatus,
    native_enum=False,
    create_constraint=False,
    length=20,
    values_callable=_values,
)


def quoted(values: Iterable[str]) -> str:
    """Return enum values as an SQL list."""
    return ", ".join(f"'{value}'" for value in sorted(values))


class ShippingBase(Base):
    """Base of shipping's tables."""

    __abstract__ = True
    metadata = MetaData(naming_convention=NAMING)


class CarrierAccount(TenantScoped, ShippingBase):
    """A merchant's account at a carrier. ``credentials`` is encrypted JSON and is never told to anybody."""

    __tablename__ = "carrier_accounts"
    __table_args__ = (UniqueConstraint("organization_id", "name"),)

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=new_id)
    carrier: Mapped[str] = mapped_column(String(40))
    name: Mapped[str] = mapped_column(String(100))
    credentials: Mapped[bytes] = mapped_column(LargeBinary)
    shipper: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_by: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(Timestamp)


class FollowedOrder(TenantScoped, ShippingBase):
    """What shipping knows of an order: the newest snapshot that orders told."""

    __tablename__ = "orders"

    order_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    organization_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    state_version: Mapped[int] = mapped_column(BigInteger)
    number: Mapped[str] = mapped_column(String(200))
    state: Mapped[str] = mapped_column(String(40))
    shipping_address: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    allocations: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    updated_at: Mapped[datetime] = mapped_column(Timestamp)


class Shipment(TenantScoped, ShippingBase):
    """One purchase of a label, from the intent on.

    ``version`` is that of the last event told of it. ``next_look_at`` is when the reconciler looks at it, None when it
    needs no look, or none can help any more (``needs_person``).
    """

    __tablename__ = "shipments"
    __table_args__ = (
        CheckConstraint(f"status IN ({quoted(s.value for s in ShipmentStatus)})", name="status"),
        CheckConstraint("(status NOT IN ('labelled', 'void_pending')) OR tracking_number IS NOT NULL", name="tracked"),
        Index("uq_shipments_idempotency", "organization_id", "idempotency_key", unique=True),
        Index("ix_shipments_order", "organization_id", "order_id"),
        Index("ix_shipments_list", "organization_id", "id"),
        Index(
            "ix_shipments_look",
            "next_look_at",
            postgresql_where=text(f"status IN ({quoted(s.value for s in UNSETTLED)})"),
        ),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=new_id)
    order_id: Mapped[UUID] = mapped_column(Uuid)
    order_number: Mapped[str] = mapped_column(String(200))
    carrier_account_id: Mapped[UUID] = mapped_column(Uuid, ForeignKey("carrier_accounts.id"))
    carrier: Mapped[str] = mapped_column(String(40))
    status: Mapped[ShipmentStatus] = mapped_column(StatusText)
    version: Mapped[int] = mapped_column(Integer, default=0)
    reference: Mapped[str] = mapped_column(String(30), unique=True)
    idempotency_key: Mapped[str | None] = mapped_column(String(255))
    request_hash: Mapped[str] = mapped_column(String(64))
    service: Mapped[str | None] = mapped_column(String(60))
    warehouse_code: Mapped[str | None] = mapped_column(String(100))
    label_format: Mapped[str] = mapped_column(String(10))
    parcels: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    lines: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    shipper: Mapped[dict[str, Any]] = mapped_column(JSONB)
    recipient: Mapped[dict[str, Any]] = mapped_column(JSONB)
    tracking_number: Mapped[str | None] = mapped_column(String(100), index=True)
    piece_numbers: Mapped[list[str]] = mapped_column(JSONB, default=list)
    cost_amount: Mapped[Decimal | None] = mapped_column(Numeric(14, 4))
    cost_currency: Mapped[str | None] = mapped_column(String(3))
    raw_response: Mapped[dict[str, Any] | None] = mapped_column(JSONB, deferred=True)
    problem_code: Mapped[str | None] = mapped_column(String(60))
    problem: Mapped[str | None] = mapped_column(Text)
    needs_person: Mapped[bool] = mapped_column(default=False)
    looks: Mapped[int] = mapped_column(Integer, default=0)
    next_look_at: Mapped[datetime | None] = mapped_column(Timestamp)
    created_by: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(Timestamp)
    purchased_at: Mapped[datetime | None] = mapped_column(Timestamp)
    voided_at: Mapped[datetime | None] = mapped_column(Timestamp)


class StoredLabel(TenantScoped, ShippingBase):
    """A label's bytes, apart from the shipment so that lists never load them."""

    __tablename__ = "labels"

    shipment_id: Mapped[UUID] = mapped_column(Uuid, ForeignKey("shipments.id"), primary_key=True)
    media_type: Mapped[str] = mapped_column(String(60))
    content: Mapped[bytes] = mapped_column(LargeBinary)
