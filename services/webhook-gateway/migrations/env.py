from alembic import context
from rappit_common.database.migrations import run
from rappit_gateway.models import GatewayBase

run(context, GatewayBase.metadata)
