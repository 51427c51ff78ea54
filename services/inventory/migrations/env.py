"""Alembic's way into this service's tables."""

from alembic import context
from rappit_common.database.migrations import run
from rappit_inventory.models import InventoryBase

run(context, InventoryBase.metadata)
