"""Units that are kept for a cart, or by hand."""

from datetime import datetime
from uuid import UUID

from rappit_common.database.base import TenantScoped
from sqlalchemy import BigInteger, CheckConstraint, DateTime, Index, PrimaryKeyConstraint, String, Text, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from rappit_inventory.models import InventoryBase

_LIVE = "state IN ('active', 'promised')"


class HoldRow(TenantScoped, InventoryBase):
    """A hold, and what became of it. Its units count as reserved while it is active, or promised to an order."""

    __tablename__ = "holds"
    __table_args__ = (
        PrimaryKeyConstraint("organization_id", "id"),
        CheckConstraint("kind IN ('cart', 'manual')", name="kind_known"),
        CheckConstraint("state IN ('active', 'promised', 'converted', 'released', 'expired')", name="state_known"),
        CheckConstraint(f"(ended_at IS NULL) = ({_LIVE})", name="ended_or_not"),
        CheckConstraint("state NOT IN ('promised', 'converted') OR order_id IS NOT NULL", name="order_or_not"),
        Index("ix_holds_state", "organization_id", "state", "id"),
        Index("ix_holds_kind", "organization_id", "kind", "id"),
        Index("ix_holds_promised", "organization_id", "order_id", "id", postgresql_where=text("state = 'promised'")),
        # By time first: whoever ends what is due looks for it among all organizations.
        Index(
            "ix_holds_due",
            "expires_at",
            "organization_id",
            "id",
            postgresql_where=text(f"{_LIVE} AND expires_at IS NOT NULL"),
        ),
        Index("ix_holds_ended", "ended_at", postgresql_where=text("ended_at IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(Uuid)
    kind: Mapped[str] = mapped_column(String(20))
    state: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str | None] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(String(200))
    order_id: Mapped[UUID | None] = mapped_column(Uuid)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class HoldLineRow(TenantScoped, InventoryBase):
    """Units of a SKU that a hold took in one warehouse; held, all of them, until it ends."""

    __tablename__ = "hold_lines"
    __table_args__ = (
        PrimaryKeyConstraint("organization_id", "hold_id", "sku_id", "warehouse_id"),
        CheckConstraint("quantity > 0", name="quantity_positive"),
        CheckConstraint("quantity_held IN (0, quantity)", name="all_or_nothing"),
        Index("ix_hold_lines_sku", "organization_id", "sku_id", "hold_id"),
        Index(
            "ix_hold_lines_held",
            "organization_id",
            "sku_id",
            "warehouse_id",
            postgresql_where=text("quantity_held > 0"),
        ),
    )

    hold_id: Mapped[UUID] = mapped_column(Uuid)
    sku_id: Mapped[UUID] = mapped_column(Uuid)
    warehouse_id: Mapped[UUID] = mapped_column(Uuid)
    quantity: Mapped[int] = mapped_column(BigInteger)
    quantity_held: Mapped[int] = mapped_column(BigInteger)
