"""However many orders wait, finding those to be served, and listing them, is a walk of an index."""

from time import monotonic

import pytest
from rappit_common.clock import new_id, utc_now
from rappit_inventory.repository import demands, reservations
from rappit_inventory.repository.reservations import ReservationFilter
from rappit_inventory.service.reserve import OrderVersion, reserve_orders
from sqlalchemy import text

pytestmark = pytest.mark.server

WAITING = 100_000
OTHERS = 100
# As many orders hold units as wait for some, all of few SKUs and every fifth of one; hardly any of them in RARE.
_DEMANDS = """
    INSERT INTO demands (organization_id, order_id, order_version, reservation_version, status, shortages,
                         waiting_since, updated_at)
    SELECT $1, lpad(to_hex(n), 32, '0')::uuid, 1, 1, CASE WHEN n % 2 = 0 THEN 'backordered' ELSE 'reserved' END, '[]',
           CASE WHEN n % 2 = 0 THEN now() - n * interval '1 second' END, now()
    FROM generate_series(1, $2::int) AS n
"""
_LINES = """
    INSERT INTO demand_lines (organization_id, order_id, sku_code, sku_id, quantity, quantity_open, waiting_since)
    SELECT d.organization_id, d.order_id, s.code, s.id, 5, CASE WHEN d.waiting_since IS NULL THEN 0 ELSE 5 END,
           d.waiting_since
    FROM (SELECT *, row_number() OVER (ORDER BY order_id) AS n FROM demands WHERE organization_id = $1) AS d
    JOIN skus s ON s.organization_id = $1
     AND s.code = CASE WHEN d.n % 10 IN (0, 1) THEN 'HOT' ELSE 'SKU-' || (d.n % 100) END
"""
_ALLOCATIONS = """
    INSERT INTO allocations (organization_id, order_id, sku_id, warehouse_id, quantity_reserved, quantity_committed)
    SELECT l.organization_id, l.order_id, l.sku_id, w.id, 5, 0
    FROM demand_lines l
    JOIN warehouses w ON w.organization_id = $1
     AND w.code = CASE WHEN l.order_id::text LIKE '%01' THEN 'RARE' ELSE 'BER' END
    WHERE l.organization_id = $1 AND l.waiting_since IS NULL
"""


LISTS = [
    ({}, "pk_demands"),
    ({"status": "reserved"}, "pk_demands"),
    ({"waiting": True}, "ix_demands_waiting"),
    ({"status": "backordered"}, "ix_demands_waiting"),
    ({"status": "on_hold"}, "ix_demands_on_hold"),
    ({"status": "released"}, "ix_demands_released"),
    ({"sku_id": "HOT"}, "ix_allocations_sku"),
    ({"sku_id": "SKU-2", "waiting": True}, "ix_demand_lines_waiting_order"),
    ({"warehouse_id": "RARE"}, "ix_allocations_warehouse"),
    ({"sku_id": "HOT", "warehouse_id": "RARE"}, "ix_allocations_"),
]


async def explain(merchant, statement, **parameters):
    """Return a statement's plan under the service's own role, so below its walls."""
    async with merchant.inventory.runtime.units.begin(merchant.organization_id) as unit:
        parameters["organization_id"] = merchant.organization_id
        rows = await unit.session.execute(text(f"EXPLAIN (ANALYZE, BUFFERS, COSTS off) {statement}"), parameters)
        return "\n".join(rows.scalars())


def touched(plan):
    """Return how many pages a plan looked at."""
    top = plan.split("Buffers: ")[1].splitlines()[0]
    return sum(int(part.partition("=")[2]) for part in top.split() if part.startswith(("hit=", "read=")))


async def test_a_crowd_that_waits_is_served_and_listed_along_indexes(merchant):
    await merchant.stock({("HOT", "BER"): 0, **{(f"SKU-{n}", "BER"): 0 for n in range(OTHERS)}, ("HOT", "RARE"): 0})
    await merchant.sql(_DEMANDS, merchant.organization_id, 2 * WAITING)
    for statement in (_LINES, _ALLOCATIONS):
        await merchant.sql(statement, merchant.organization_id)
    await merchant.sql("ANALYZE demands, demand_lines, allocations, inventory_levels")
    units = merchant.inventory.runtime.units
    async with units.begin(merchant.organization_id) as unit:
        named = await unit.catalogue.resolve(["HOT", "SKU-2", "SKU-4"])
        rare = await unit.catalogue.warehouse("RARE")
    await _assert_line_is_walked(merchant, list(named.values()))
    for wanted, index in LISTS:
        values = {name: {**named, "RARE": rare.id}.get(value, value) for name, value in wanted.items()}
        parameters = {
            name: value for name, value in values.items() if name != "waiting" and value not in {"on_hold", "released"}
        }
        statement = reservations.page_sql(ReservationFilter(**values))
        plan = await explain(merchant, statement, limit=51, after=reservations._LAST, **parameters)
        assert index in plan, plan
        assert "Seq Scan on" not in plan, plan
        assert touched(plan) < 1_000, plan
    started = monotonic()
    async with units.begin(merchant.organization_id) as unit:
        await reserve_orders(unit, [OrderVersion(new_id(), 1, (("HOT", 1),))], now=utc_now())
    assert monotonic() - started < 2


async def _assert_line_is_walked(merchant, sku_ids):
    asked = {"sku_ids": sku_ids, "limit": 200}
    first = {"after_priority": -1, "after_since": demands._BEGINNING, "after_order": demands._NOBODY}
    # While nothing is there, nobody in the line is looked at.
    plan = await explain(merchant, demands._FILLABLE.text, **asked, **first)
    assert touched(plan) < 100, plan
    await merchant.sql(
        "UPDATE inventory_levels SET quantity_total = 50, quantity_available = 50 WHERE organization_id = $1",
        merchant.organization_id,
    )
    [middle] = await merchant.sql(
        "SELECT waiting_since, order_id FROM demand_lines WHERE organization_id = $1 AND sku_code = 'HOT'"
        " AND waiting_since IS NOT NULL ORDER BY waiting_since OFFSET 10000 LIMIT 1",
        merchant.organization_id,
    )
    later = {"after_priority": 100, "after_since": middle["waiting_since"], "after_order": middle["order_id"]}
    for place in (first, later):
        plan = await explain(merchant, demands._FILLABLE.text, **asked, **place)
        assert "using ix_demand_lines_waiting on" in plan, plan
        assert "Seq Scan on demand_lines" not in plan, plan
        assert touched(plan) < 2_000, plan
