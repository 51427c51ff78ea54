"""The migrated schema is what the models say, and its walls stand."""

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from rappit_common.database.engine import asyncpg_url
from rappit_common.messaging import tables
from rappit_gateway.models import GatewayBase
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

pytestmark = pytest.mark.server


async def test_models_are_what_migrations_make(sandbox):
    urls = await sandbox.prepare("rappit_gateway", "gateway")
    own = set(GatewayBase.metadata.tables)
    assert own == {"channels", "channel_secrets", "webhook_deliveries", "webhook_bodies"}
    shared = {table.name for table in tables.metadata.sorted_tables}

    def differences(connection):
        context = MigrationContext.configure(
            connection,
            opts={"include_name": lambda name, kind, _parents: kind != "table" or name in own, "compare_type": True},
        )
        return compare_metadata(context, GatewayBase.metadata)

    engine = create_async_engine(
        asyncpg_url(urls.owner_url), poolclass=NullPool, connect_args={"server_settings": {"search_path": "gateway"}}
    )
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
        names = await connection.run_sync(lambda c: set(c.dialect.get_table_names(c)))
    assert own | shared <= names


async def test_without_a_tenant_no_channel_is_seen(sandbox, gateway):
    await gateway.connect()
    connection = await asyncpg.connect(sandbox.urls("gateway").runtime_url)
    try:
        assert await connection.fetchval("SELECT count(*) FROM channels") == 0
        assert await connection.fetchval("SELECT count(*) FROM channel_secrets") == 0
        await connection.execute("SELECT set_config('rappit.bypass_tenancy', 'on', false)")
        assert await connection.fetchval("SELECT count(*) FROM channels") > 0
    finally:
        await connection.close()
