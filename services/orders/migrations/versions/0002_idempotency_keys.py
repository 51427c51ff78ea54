"""Idempotency keys of orders that come by the API."""

from rappit_common import idempotency

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    idempotency.create_tables_v1()
