"""Channels and their secrets, and the tables of every service's messages."""

import sqlalchemy as sa
from alembic import op
from rappit_common.database.migrations import enable_tenancy
from rappit_common.messaging import tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    tables.create_v1()
    op.create_table(
        "channels",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("organization_id", sa.Uuid, nullable=False),
        sa.Column("provider", sa.String(40), nullable=False),
        sa.Column("name", sa.String(120), nullable=False),
        sa.Column("source", sa.String(255), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("deactivated_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_channels"),
    )
    op.create_index("ix_channels_organization_id_id", "channels", ["organization_id", "id"])
    op.create_index(
        "uq_channels_live_source",
        "channels",
        ["organization_id", "provider", "source"],
        unique=True,
        postgresql_where=sa.text("deactivated_at IS NULL AND source IS NOT NULL"),
    )
    op.create_table(
        "channel_secrets",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("organization_id", sa.Uuid, nullable=False),
        sa.Column("channel_id", sa.Uuid, nullable=False),
        sa.Column("ciphertext", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_channel_secrets"),
        sa.ForeignKeyConstraint(
            ["channel_id"], ["channels.id"], name="fk_channel_secrets_channel_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_channel_secrets_channel_id", "channel_secrets", ["channel_id"])
    enable_tenancy("channels", "channel_secrets")
