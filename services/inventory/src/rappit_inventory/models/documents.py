"""The documents that move stock: transfers, counts and returns."""

from datetime import datetime
from typing import Any
from uuid import UUID

from rappit_common.database.base import TenantScoped
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Identity,
    Index,
    PrimaryKeyConstraint,
    String,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from rappit_inventory.models import InventoryBase


class TransferRow(TenantScoped, InventoryBase):
    """Goods on their way from one warehouse to another."""

    __tablename__ = "transfers"
    __table_args__ = (
        PrimaryKeyConstraint("organization_id", "id"),
        Index("ix_transfers_status", "organization_id", "status", "id"),
        CheckConstraint("status IN ('draft', 'sent', 'received', 'cancelled')", name="status_known"),
        CheckConstraint("source_id <> target_id", name="two_warehouses"),
    )

    id: Mapped[UUID] = mapped_column(Uuid)
    source_id: Mapped[UUID] = mapped_column(Uuid)
    target_id: Mapped[UUID] = mapped_column(Uuid)
    status: Mapped[str] = mapped_column(String(20))
    note: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class TransferLineRow(TenantScoped, InventoryBase):
    """Units of one SKU in a transfer. Once it was sent, every unit is accounted for."""

    __tablename__ = "transfer_lines"
    __table_args__ = (
        PrimaryKeyConstraint("organization_id", "transfer_id", "sku_id"),
        Index(
            "ix_transfer_lines_in_transit",
            "organization_id",
            "sku_id",
            "target_id",
            postgresql_where=text("quantity_in_transit > 0"),
        ),
        CheckConstraint("quantity > 0", name="quantity_positive"),
        CheckConstraint(
            "quantity_in_transit >= 0 AND quantity_received >= 0 AND quantity_written_off >= 0"
            " AND quantity_returned >= 0",
            name="none_negative",
        ),
        CheckConstraint(
            "quantity_in_transit + quantity_received + quantity_written_off + quantity_returned IN (0, quantity)",
            name="nothing_appears_or_vanishes",
        ),
    )

    transfer_id: Mapped[UUID] = mapped_column(Uuid)
    sku_id: Mapped[UUID] = mapped_column(Uuid)
    target_id: Mapped[UUID] = mapped_column(Uuid)
    quantity: Mapped[int] = mapped_column(BigInteger)
    quantity_in_transit: Mapped[int] = mapped_column(BigInteger)
    quantity_received: Mapped[int] = mapped_column(BigInteger)
    quantity_written_off: Mapped[int] = mapped_column(BigInteger)
    quantity_returned: Mapped[int] = mapped_column(BigInteger)


class TransferStepRow(TenantScoped, InventoryBase):
    """What happened to a transfer: who did what, when and why. Never changed, never removed."""

    __tablename__ = "transfer_steps"
    __table_args__ = (PrimaryKeyConstraint("organization_id", "transfer_id", "id"),)

    transfer_id: Mapped[UUID] = mapped_column(Uuid)
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    actor: Mapped[str] = mapped_column(String(200))
    action: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str | None] = mapped_column(Text)
    lines: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)


class CountRow(TenantScoped, InventoryBase):
    """A cycle count of some SKUs in one warehouse."""

    __tablename__ = "stock_counts"
    __table_args__ = (
        PrimaryKeyConstraint("organization_id", "id"),
        Index("ix_stock_counts_status", "organization_id", "status", "id"),
        CheckConstraint("status IN ('open', 'approved', 'cancelled')", name="status_known"),
    )

    id: Mapped[UUID] = mapped_column(Uuid)
    warehouse_id: Mapped[UUID] = mapped_column(Uuid)
    status: Mapped[str] = mapped_column(String(20))
    note: Mapped[str | None] = mapped_column(Text)
    opened_by: Mapped[str] = mapped_column(String(200))
    opened_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    closed_by: Mapped[str | None] = mapped_column(String(200))
    closed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class CountLineRow(TenantScoped, InventoryBase):
    """One level of a count: what was found on the shelf, and what we thought lay there at that moment."""

    __tablename__ = "stock_count_lines"
    __table_args__ = (
        PrimaryKeyConstraint("organization_id", "count_id", "sku_id"),
        CheckConstraint("quantity_counted >= 0", name="counted_not_negative"),
        CheckConstraint("(quantity_counted IS NULL) = (quantity_expected IS NULL)", name="counted_against_something"),
    )

    count_id: Mapped[UUID] = mapped_column(Uuid)
    sku_id: Mapped[UUID] = mapped_column(Uuid)
    quantity_counted: Mapped[int | None] = mapped_column(BigInteger)
    quantity_expected: Mapped[int | None] = mapped_column(BigInteger)
    counted_by: Mapped[UUID | None] = mapped_column(Uuid)
    counted_by_label: Mapped[str | None] = mapped_column(String(200))
    counted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class ReturnRow(TenantScoped, InventoryBase):
    """Shipped units that came back. Never changed, never removed."""

    __tablename__ = "stock_returns"
    __table_args__ = (
        PrimaryKeyConstraint("organization_id", "id"),
        Index("ix_stock_returns_order", "organization_id", "order_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(Uuid)
    order_id: Mapped[UUID] = mapped_column(Uuid)
    lines: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    reason: Mapped[str | None] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
