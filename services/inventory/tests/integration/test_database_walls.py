"""What the database itself refuses, whoever asks; and that its tables are those of the models."""

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from rappit_common.database.engine import asyncpg_url
from rappit_common.idempotency import idempotency_keys
from rappit_inventory.models import InventoryBase
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

pytestmark = pytest.mark.server

TENANT_TABLES = [table.name for table in InventoryBase.metadata.sorted_tables] + [idempotency_keys.name]


@pytest.mark.parametrize(
    "change",
    [
        "quantity_available = -5",
        "quantity_available = -5, quantity_total = quantity_reserved - 5",
        "quantity_total = -1, quantity_available = -1",
        "quantity_reserved = -1, quantity_available = quantity_total + 1",
        "quantity_available = quantity_available + 1",
        "quantity_reserved = quantity_total + 1",
    ],
)
async def test_inconsistent_level_is_refused_by_the_database(merchant, change):
    await merchant.stock({("A", "BER"): 5})
    with pytest.raises(asyncpg.CheckViolationError):
        await merchant.sql(
            f"UPDATE inventory_levels SET {change} WHERE organization_id = $1",  # noqa: S608 - literals of this test
            merchant.organization_id,
        )
    assert await merchant.levels() == {("A", "BER"): (5, 0, 5)}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE stock_ledger SET actor = 'somebody' WHERE organization_id = $1",
        "DELETE FROM stock_ledger WHERE organization_id = $1",
        "DELETE FROM skus WHERE organization_id = $1",
        "DELETE FROM warehouses WHERE organization_id = $1",
        "DELETE FROM inventory_levels WHERE organization_id = $1",
    ],
)
async def test_what_is_never_removed_cannot_be(merchant, statement):
    await merchant.stock({("A", "BER"): 5})
    with pytest.raises(asyncpg.RestrictViolationError):
        await merchant.sql(statement, merchant.organization_id)


async def test_no_tenant_sees_another(merchant):
    other = merchant.inventory.merchant()
    for one in (merchant, other):
        await one.stock({("A", "BER"): 5})
    order = merchant.order({"A": 5})
    await merchant.publish([order])
    await merchant.until(order["order_id"], "reserved")
    assert await other.levels() == {("A", "BER"): (5, 0, 5)}
    answer = await other.call("GET", f"/reservations/{order['order_id']}")
    assert answer.status_code == 404


async def test_even_raw_sql_sees_only_its_tenant(merchant):
    other = merchant.inventory.merchant()
    for one in (merchant, other):
        await one.stock({("A", "BER"): 5})
    order = merchant.order({"A": 1})
    await merchant.publish([order])
    await merchant.until(order["order_id"], "reserved")
    async with merchant.inventory.runtime.units.begin(other.organization_id) as unit:
        for table in TENANT_TABLES:
            rows = await unit.session.execute(text(f"SELECT DISTINCT organization_id FROM {table}"))  # noqa: S608
            assert set(rows.scalars()) <= {other.organization_id}, table
        values = {"mine": merchant.organization_id}
        stolen = await unit.session.execute(
            text("UPDATE inventory_levels SET updated_at = now() WHERE organization_id = :mine"), values
        )
        assert stolen.rowcount == 0


async def test_every_table_of_the_service_is_walled(merchant):
    rows = await merchant.sql(
        "SELECT relname FROM pg_class WHERE relnamespace = 'inventory'::regnamespace AND relkind = 'r'"
        " AND relrowsecurity AND relforcerowsecurity"
    )
    assert {row["relname"] for row in rows} == set(TENANT_TABLES)


async def test_migrations_make_the_tables_of_the_models(merchant, sandbox):
    await merchant.stock({("A", "BER"): 1})
    engine = create_async_engine(
        asyncpg_url(sandbox.urls("inventory").owner_url),
        connect_args={"server_settings": {"search_path": "inventory"}},
    )

    def differences(connection):
        def own(_object, name, kind, _reflected, _compared):
            return kind != "table" or name in InventoryBase.metadata.tables

        context = MigrationContext.configure(connection, opts={"include_object": own, "compare_type": True})
        return compare_metadata(context, InventoryBase.metadata)

    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()
