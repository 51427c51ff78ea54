from alembic import context
from rappit_common.database.migrations import run
from rappit_identity.models import IdentityBase

run(context, IdentityBase.metadata)
