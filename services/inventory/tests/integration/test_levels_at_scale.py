"""Pages of levels cost what they show, however many levels there are."""

import re
from uuid import UUID

import pytest
from rappit_inventory.repository.level_list import LevelFilter
from sqlalchemy import event

pytestmark = pytest.mark.server

_SKUS = """
    INSERT INTO skus (organization_id, id, code, name)
    SELECT $1, ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'SKU-' || n, 'thing'
    FROM generate_series(1, 100000) AS n
"""
_LEVELS = """
    INSERT INTO inventory_levels (organization_id, sku_id, warehouse_id, quantity_total, quantity_reserved,
                                  quantity_available, updated_at)
    SELECT $1, s.id, w.id, 1, 0, 1, now() FROM skus s JOIN warehouses w USING (organization_id)
    WHERE s.organization_id = $1 AND s.name = 'thing'
"""


def sku_id(number):
    return UUID(f"00000000-0000-7000-8000-{number:012x}")


async def pages_read(unit, wanted, after):
    """Return how many pages of the database the page of levels takes."""
    connection, asked = await unit.session.connection(), []
    event.listen(connection.sync_connection, "before_cursor_execute", lambda *given: asked.append(given[2:4]))
    rows = await unit.level_list.page(wanted, limit=51, after=after)
    assert len(rows) == 51
    [(statement, parameters)] = asked
    plan = await connection.exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS, COSTS off) {statement}", parameters)
    buffers = next(line for line in plan.scalars() if "Buffers" in line)
    return sum(map(int, re.findall(r"(?:hit|read)=(\d+)", buffers)))


@pytest.mark.parametrize("listed", [True, False])
async def test_a_later_page_of_many_levels_reads_no_more_than_its_own(merchant, listed):
    await merchant.stock({("A", "BER"): 1})
    for query in (_SKUS, _LEVELS):
        await merchant.sql(query, merchant.organization_id)
    await merchant.sql("VACUUM ANALYZE inventory_levels")
    found = {sku_id(number) for number in range(100, 100_001, 100)} if listed else None
    async with merchant.inventory.runtime.units.begin(merchant.organization_id) as unit:
        assert await pages_read(unit, LevelFilter(found), (sku_id(95_000), UUID(int=0))) < 5_000


async def test_levels_that_a_search_finds_are_each_on_one_page(merchant):
    levels = {(sku, place): 1 for sku in ("TEE-A", "TEE-B", "TEE-C") for place in ("BER", "LYS", "MAD")}
    await merchant.stock({**levels, ("MUG", "BER"): 1})
    listed, cursor = [], None
    while True:
        page = await merchant.get("/levels", text="tee", limit=2, **({"cursor": cursor} if cursor else {}))
        listed += [(x["sku"], x["warehouse_code"]) for x in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(listed) == len(levels)
    assert set(listed) == set(levels)
