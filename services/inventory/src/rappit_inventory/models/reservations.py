"""Tables of what merchants decide about reservations."""

from datetime import datetime
from typing import Any
from uuid import UUID

from rappit_common.database.base import TenantScoped
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    DateTime,
    Identity,
    PrimaryKeyConstraint,
    String,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from rappit_inventory.models import InventoryBase


class StockSettingsRow(TenantScoped, InventoryBase):
    """How an organization wants its orders served; one that never said so has no row."""

    __tablename__ = "stock_settings"
    __table_args__ = (
        PrimaryKeyConstraint("organization_id"),
        CheckConstraint("allocation_strategy IN ('priority', 'nearest', 'fewest_parcels')", name="strategy_known"),
    )

    allocation_strategy: Mapped[str] = mapped_column(String(20))
    partial_reservations: Mapped[bool] = mapped_column(Boolean)
    updated_by: Mapped[str] = mapped_column(String(200))
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class ReservationStepRow(TenantScoped, InventoryBase):
    """What a person did with an order's reservation; append-only, as the ledger is."""

    __tablename__ = "reservation_steps"
    __table_args__ = (PrimaryKeyConstraint("organization_id", "order_id", "id"),)

    order_id: Mapped[UUID] = mapped_column(Uuid)
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    actor: Mapped[str] = mapped_column(String(200))
    action: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str | None] = mapped_column(Text)
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB)
    trace_id: Mapped[str | None] = mapped_column(String(32))
