import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from rappit_common.database.engine import asyncpg_url
from rappit_common.messaging import tables
from rappit_shipping.models import ShippingBase
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

pytestmark = pytest.mark.server
OWN = set(ShippingBase.metadata.tables)


@pytest.fixture
async def connection(sandbox):
    urls = await sandbox.prepare("rappit_shipping", "shipping")
    engine = create_async_engine(
        asyncpg_url(urls.owner_url), connect_args={"server_settings": {"search_path": "shipping"}}
    )
    async with engine.connect() as connection:
        yield connection
    await engine.dispose()


async def test_migrations_make_what_the_models_say(connection):
    common = {*tables.metadata.tables, "alembic_version"}

    def differences(sync):
        def included(_object, name, kind, _reflected, _other):
            return not (kind == "table" and name in common)

        options = {"include_object": included, "compare_type": True}
        return compare_metadata(MigrationContext.configure(sync, opts=options), ShippingBase.metadata)

    assert await connection.run_sync(differences) == []


async def test_every_own_table_stands_behind_the_tenant_wall(connection):
    query = text(
        "SELECT relname FROM pg_class WHERE relnamespace = 'shipping'::regnamespace"
        " AND relrowsecurity AND relforcerowsecurity"
    )
    assert set((await connection.scalars(query)).all()) == OWN


@pytest.mark.parametrize(
    "change", ["status = 'sold'", "status = 'labelled', tracking_number = NULL"], ids=["status", "untracked"]
)
async def test_database_refuses_what_no_shipment_may_be(merchant, shipping, change):
    await merchant.buy("dhl", await merchant.order())
    async with shipping.runtime.database.engine.connect() as connection:
        organization = str(merchant.organization_id)
        await connection.execute(text("SELECT set_config('rappit.organization_id', :id, true)"), {"id": organization})
        with pytest.raises(DBAPIError, match="ck_shipments"):
            await connection.execute(text(f"UPDATE shipments SET {change}"))  # noqa: S608 - literals of this test
