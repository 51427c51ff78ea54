"""6.1: the database itself refuses negative stock."""

import asyncpg
import pytest


async def test_setting_available_to_minus_five_is_a_database_error(stack, scene):
    connection = await asyncpg.connect(stack.service("inventory").environment["DATABASE_URL"])
    try:
        organization_id = scene.merchant.organization_id
        await connection.execute("SELECT set_config('rappit.organization_id', $1, false)", organization_id)
        count = await connection.fetchval("SELECT count(*) FROM inventory.inventory_levels")
        assert count > 0
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute("UPDATE inventory.inventory_levels SET quantity_available = -5")
    finally:
        await connection.close()
