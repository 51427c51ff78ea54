"""Idempotency keys of writes that would count again when they are repeated."""

from rappit_common import idempotency

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    idempotency.create_tables_v1()
