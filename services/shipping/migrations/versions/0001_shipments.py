"""The first tables: carrier accounts, what is known of orders, shipments, labels."""

import sqlalchemy as sa
from alembic import op
from rappit_common.database.migrations import enable_tenancy
from rappit_common.messaging import tables
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    tables.create_v1()
    _create_accounts_and_orders()
    _create_shipments()
    op.create_table(
        "labels",
        sa.Column("shipment_id", sa.Uuid, sa.ForeignKey("shipments.id", name="fk_labels_shipment_id"), nullable=False),
        sa.Column("organization_id", sa.Uuid, nullable=False),
        sa.Column("media_type", sa.String(60), nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("shipment_id", name="pk_labels"),
    )
    enable_tenancy("carrier_accounts", "orders", "shipments", "labels")


def _create_accounts_and_orders() -> None:
    op.create_table(
        "carrier_accounts",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("organization_id", sa.Uuid, nullable=False),
        sa.Column("carrier", sa.String(40), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("credentials", sa.LargeBinary, nullable=False),
        sa.Column("shipper", JSONB, nullable=False),
        sa.Column("created_by", sa.String(200), nullable=False),
        _time("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_carrier_accounts"),
        sa.UniqueConstraint("organization_id", "name", name="uq_carrier_accounts_organization_id_name"),
    )
    op.create_table(
        "orders",
        sa.Column("order_id", sa.Uuid, nullable=False),
        sa.Column("organization_id", sa.Uuid, nullable=False),
        sa.Column("state_version", sa.BigInteger, nullable=False),
        sa.Column("number", sa.String(200), nullable=False),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("shipping_address", JSONB, nullable=True),
        sa.Column("allocations", JSONB, nullable=False),
        _time("updated_at"),
        sa.PrimaryKeyConstraint("order_id", "organization_id", name="pk_orders"),
    )


def _create_shipments() -> None:
    account = sa.ForeignKey("carrier_accounts.id", name="fk_shipments_carrier_account_id")
    op.create_table(
        "shipments",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("organization_id", sa.Uuid, nullable=False),
        sa.Column("order_id", sa.Uuid, nullable=False),
        sa.Column("order_number", sa.String(200), nullable=False),
        sa.Column("carrier_account_id", sa.Uuid, account, nullable=False),
        sa.Column("carrier", sa.String(40), nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("reference", sa.String(30), nullable=False),
        sa.Column("idempotency_key", sa.String(255), nullable=True),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("service", sa.String(60), nullable=True),
        sa.Column("warehouse_code", sa.String(100), nullable=True),
        sa.Column("label_format", sa.String(10), nullable=False),
        sa.Column("parcels", JSONB, nullable=False),
        sa.Column("lines", JSONB, nullable=False),
        sa.Column("shipper", JSONB, nullable=False),
        sa.Column("recipient", JSONB, nullable=False),
        sa.Column("tracking_number", sa.String(100), nullable=True),
        sa.Column("piece_numbers", JSONB, nullable=False),
        sa.Column("cost_amount", sa.Numeric(14, 4), nullable=True),
        sa.Column("cost_currency", sa.String(3), nullable=True),
        sa.Column("raw_response", JSONB, nullable=True),
        sa.Column("problem_code", sa.String(60), nullable=True),
        sa.Column("problem", sa.Text, nullable=True),
        sa.Column("needs_person", sa.Boolean, nullable=False),
        sa.Column("looks", sa.Integer, nullable=False),
        _time("next_look_at", nullable=True),
        sa.Column("created_by", sa.String(200), nullable=False),
        _time("created_at"),
        _time("purchased_at", nullable=True),
        _time("voided_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_shipments"),
        sa.UniqueConstraint("reference", name="uq_shipments_reference"),
        sa.CheckConstraint(
            "status IN ('failed', 'labelled', 'outcome_unknown', 'purchasing', 'void_pending', 'voided')",
            name="ck_shipments_status",
        ),
        sa.CheckConstraint(
            "(status NOT IN ('labelled', 'void_pending')) OR tracking_number IS NOT NULL", name="ck_shipments_tracked"
        ),
    )
    op.create_index("uq_shipments_idempotency", "shipments", ["organization_id", "idempotency_key"], unique=True)
    op.create_index("ix_shipments_order", "shipments", ["organization_id", "order_id"])
    op.create_index("ix_shipments_list", "shipments", ["organization_id", "id"])
    op.create_index("ix_shipments_tracking_number", "shipments", ["tracking_number"])
    op.create_index(
        "ix_shipments_look",
        "shipments",
        ["next_look_at"],
        postgresql_where=sa.text("status IN ('outcome_unknown', 'purchasing', 'void_pending')"),
    )
