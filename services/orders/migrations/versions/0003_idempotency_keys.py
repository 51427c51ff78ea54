"""Idempotency keys of orders that come by the API."""

from rappit_common import idempotency

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    idempotency.create_tables_v1()
