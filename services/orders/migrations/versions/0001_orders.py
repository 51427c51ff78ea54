"""The first tables: orders, and what happened to them."""

import sqlalchemy as sa
from alembic import op
from rappit_common.database.migrations import enable_tenancy, make_append_only
from rappit_common.messaging import tables
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None


def upgrade() -> None:
    tables.create_v1()
    _create_orders()
    _create_order_events()
    enable_tenancy("orders", "order_events")
    make_append_only("order_events")


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _stamp(of: str) -> list[sa.Column[object]]:
    return [
        _time(f"{of}_changed_at", nullable=True),
        sa.Column(f"{of}_rank", sa.SmallInteger),
        _time(f"{of}_received_at", nullable=True),
    ]


def _create_orders() -> None:
    op.create_table(
        "orders",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("organization_id", sa.Uuid, nullable=False),
        sa.Column("channel_id", sa.Uuid),
        sa.Column("external_order_id", sa.String(255), nullable=False),
        sa.Column("number", sa.String(500), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("payment_state", sa.String(20), nullable=False),
        sa.Column("order_version", sa.BigInteger, nullable=False),
        sa.Column("state_version", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("total", sa.Numeric, nullable=False),
        _time("placed_at"),
        _time("created_at"),
        _time("updated_at"),
        sa.Column("customer_name", sa.Text),
        sa.Column("customer_email", sa.Text),
        sa.Column("note", sa.Text),
        sa.Column("hold_reason", sa.String(50)),
        sa.Column("hold_message", sa.Text),
        sa.Column("shipping_address", JSONB),
        sa.Column("lines", JSONB, nullable=False),
        sa.Column("demand", JSONB, nullable=False),
        sa.Column("reservation", JSONB, nullable=False),
        sa.Column("shipments", JSONB, nullable=False),
        *_stamp("content"),
        *_stamp("cancellation"),
        sa.Column("channel_cancelled", sa.Boolean, nullable=False),
        sa.Column("merchant_cancelled", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_orders"),
        sa.UniqueConstraint("organization_id", "channel_id", "external_order_id", name="uq_orders_channel_order"),
        sa.CheckConstraint(
            "state IN ('received', 'on_hold', 'backordered', 'reserved', 'ready_to_ship', 'cancelled')",
            name=op.f("ck_orders_state_known"),
        ),
        sa.CheckConstraint("order_version > 0 AND state_version > 0", name=op.f("ck_orders_versions_positive")),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index("ix_orders_list", "orders", ["organization_id", "id"])
    op.create_index("ix_orders_list_state", "orders", ["organization_id", "state", "id"])
    op.create_index("ix_orders_list_channel", "orders", ["organization_id", "channel_id", "id"])
    op.create_index("ix_orders_list_channel_state", "orders", ["organization_id", "channel_id", "state", "id"])
    op.create_index("ix_orders_external", "orders", ["organization_id", "external_order_id", "id"])


def _create_order_events() -> None:
    op.create_table(
        "order_events",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("organization_id", sa.Uuid, nullable=False),
        sa.Column("order_id", sa.Uuid),
        _time("at"),
        sa.Column("kind", sa.String(50), nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("trace_id", sa.String(32)),
        sa.Column("detail", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_order_events"),
    )
    op.create_index("ix_order_events_timeline", "order_events", ["organization_id", "order_id", "id"])
    op.create_index("ix_order_events_at", "order_events", ["organization_id", "at"])
