from alembic import context
from rappit_common.database.migrations import run
from rappit_orders.models import OrdersBase

run(context, OrdersBase.metadata)
