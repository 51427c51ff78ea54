from alembic import context
from rappit_common.database.migrations import run
from rappit_sample.service import SampleBase

run(context, SampleBase.metadata)
