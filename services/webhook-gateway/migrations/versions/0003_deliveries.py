"""The delivery log: what reached a channel and what became of it, and the bodies, which are kept for a shorter time."""

import sqlalchemy as sa
from alembic import op
from rappit_common.database.migrations import enable_tenancy
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"

INDEXES = (
    ("ix_webhook_deliveries_status", ["organization_id", "status", "id"], None),
    ("ix_webhook_deliveries_channel", ["organization_id", "channel_id", "status", "id"], None),
    ("ix_webhook_deliveries_topic", ["organization_id", "topic", "status", "id"], None),
    ("ix_webhook_deliveries_external", ["organization_id", "external_order_id", "id"], "external_order_id IS NOT NULL"),
    ("ix_webhook_deliveries_cause", ["organization_id", "cause", "id"], "cause IS NOT NULL"),
    ("ix_webhook_deliveries_replay", ["organization_id", "replay_of", "id"], "replay_of IS NOT NULL"),
)


def upgrade() -> None:
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("organization_id", sa.Uuid, nullable=False),
        sa.Column("channel_id", sa.Uuid, nullable=False),
        sa.Column("provider", sa.String(40), nullable=False),
        sa.Column("topic", sa.String(255), nullable=False),
        sa.Column("delivery_id", sa.String(255), nullable=False),
        sa.Column("dedupe_key", sa.String(600), nullable=True),
        sa.Column("source", sa.String(255), nullable=True),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("cause", sa.String(300), nullable=True),
        sa.Column("detail", sa.Text, nullable=True),
        sa.Column("external_order_id", sa.String(255), nullable=True),
        sa.Column("order_id", sa.Uuid, nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("body_bytes", sa.BigInteger, nullable=True),
        sa.Column("spooled", sa.Boolean, nullable=False),
        sa.Column("trace_id", sa.String(32), nullable=True),
        sa.Column("client", sa.String(100), nullable=True),
        sa.Column("left_out", sa.Integer, nullable=False),
        sa.Column("replay_of", sa.Uuid, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_deliveries"),
    )
    for name, columns, condition in INDEXES:
        op.create_index(name, "webhook_deliveries", columns, postgresql_where=sa.text(condition) if condition else None)
    op.create_table(
        "webhook_bodies",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("organization_id", sa.Uuid, nullable=False),
        sa.Column("headers", JSONB, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_bodies"),
    )
    # The older method is a third of what logging a webhook costs PostgreSQL; a server may be built without the newer.
    op.execute(
        "DO $$ BEGIN IF 'lz4' = ANY (SELECT unnest(enumvals) FROM pg_settings WHERE name = 'default_toast_compression')"
        " THEN ALTER TABLE webhook_bodies ALTER COLUMN body SET COMPRESSION lz4; END IF; END $$"
    )
    enable_tenancy("webhook_deliveries", "webhook_bodies")
