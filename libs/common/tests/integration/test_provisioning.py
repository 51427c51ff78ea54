"""Provisioning may be repeated, and done at once from several databases of one server."""

import asyncio

import asyncpg
import pytest
from rappit_common.database.provision import provision
from rappit_common.testing.servers import Sandbox

pytestmark = pytest.mark.server


async def test_the_same_roles_are_provisioned_at_once_in_two_databases(servers):
    sandboxes = [Sandbox(servers, f"test_provision_{number}") for number in range(2)]
    for made in sandboxes:
        await made.create()
    try:

        async def often(made):
            urls = made.urls("provisioned")
            for _ in range(5):
                await provision(made.admin_url, "provisioned", owner_url=urls.owner_url, runtime_url=urls.runtime_url)

        await asyncio.gather(*(often(made) for made in sandboxes for _ in range(3)))
        for made in sandboxes:
            connection = await asyncpg.connect(made.urls("provisioned").runtime_url)
            assert await connection.fetchval("SELECT current_schema()") == "provisioned"
            await connection.close()
    finally:
        for made in sandboxes:
            await made.drop()
