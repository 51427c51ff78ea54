"""The first tables."""

import sqlalchemy as sa
from alembic import op
from rappit_common.database.migrations import enable_tenancy
from rappit_common.messaging import tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    tables.create_v1()
    op.create_table(
        "notes",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("organization_id", sa.Uuid, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    )
    enable_tenancy("notes")
