"""Dead letters that can be searched, grouped, discarded and requeued in runs."""

from rappit_common.messaging import tables

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    tables.create_v2()
