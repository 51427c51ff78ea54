"""How a generic channel signs, and how much a channel may send."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("channels", sa.Column("options", JSONB, nullable=True))
    op.add_column("channels", sa.Column("quota_per_minute", sa.Integer, nullable=True))
