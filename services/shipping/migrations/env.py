from alembic import context
from rappit_common.database.migrations import run
from rappit_shipping.models import ShippingBase

run(context, ShippingBase.metadata)
