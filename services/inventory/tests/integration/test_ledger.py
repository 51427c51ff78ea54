"""The ledger tells every change, and levels are what it says."""

from datetime import timedelta

import pytest
from rappit_common.clock import new_id, utc_now
from rappit_common.web.auth import Role
from rappit_inventory.models import LedgerRow
from rappit_inventory.service import verify
from sqlalchemy import event

pytestmark = pytest.mark.server


async def test_ledger_is_paged_and_filtered(merchant):
    await merchant.stock({(sku, code): 10 for sku in "AB" for code in ("BER", "LYS")})
    for _ in range(3):
        await merchant.adjust("A", "BER", -1)
    halfway = utc_now()
    await merchant.adjust("B", "LYS", 5)

    async def walk(**params):
        seen, cursor = [], None
        while True:
            page = await merchant.get("/ledger", limit=2, **params, **({"cursor": cursor} if cursor else {}))
            seen += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return seen

    rows = await walk()
    assert len(rows) == len({row["id"] for row in rows}) == 8
    assert [row["at"] for row in rows] == sorted((row["at"] for row in rows), reverse=True)
    assert [(row["available_before"], row["available_after"]) for row in await walk(sku="a", kind="adjust")] == [
        (8, 7),
        (9, 8),
        (10, 9),
    ]
    assert len(await walk(warehouse_code="LYS")) == 3
    assert len(await walk(sku="A", warehouse_code="BER")) == 4
    [latest] = await walk(since=halfway.isoformat())
    assert (latest["sku"], latest["actor"], len(latest["trace_id"])) == ("B", "tester@example.com", 32)
    assert len(await walk(before=halfway.isoformat())) == 7
    assert await walk(since=(halfway + timedelta(days=1)).isoformat()) == []
    imported = next(row for row in rows if row["kind"] == "import")
    assert len(await walk(source_id=imported["source_id"])) == 4
    assert await walk(source_id=str(new_id())) == await walk(sku="NOPE") == []
    assert (await merchant.inventory.merchant().get("/ledger"))["items"] == []
    for params in ({"cursor": "bm90LW91cnM"}, {"since": "yesterday"}, {"kind": "theft"}):
        answer = await merchant.call("GET", "/ledger", params=params)
        assert answer.status_code == 422


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"sku": "A"},
        {"warehouse_code": "BER"},
        {"sku": "A", "warehouse_code": "BER", "kind": "adjust"},
        {"kind": "count"},
        {"source_id": "00000000-0000-0000-0000-000000000001"},
        {"since": "2026-01-01T00:00:00Z", "before": "2027-01-01T00:00:00Z"},
    ],
)
async def test_no_filter_of_the_ledger_reads_or_sorts_all_of_it(merchant, params):
    await merchant.stock({("A", "BER"): 10})
    asked = []

    def note(_connection, _cursor, statement, parameters, *_):
        if f"FROM {LedgerRow.__tablename__}" in statement:
            asked.append((statement, parameters))

    engine = merchant.inventory.runtime.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        await merchant.get("/ledger", **params)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    [(statement, parameters)] = asked
    async with merchant.inventory.runtime.units.begin(merchant.organization_id) as unit:
        connection = await unit.session.connection()
        # However few rows there are here: of two ways through an index, the one that need not sort must exist.
        await connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        await connection.exec_driver_sql("SET LOCAL enable_bitmapscan = off")
        await connection.exec_driver_sql("SET LOCAL enable_sort = off")
        rows = (await connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)).scalars().all()
    plan = "\n".join(rows)
    assert "Index Scan Backward using ix_stock_ledger_" in plan, plan
    assert "Sort" not in plan, plan


async def drifted(merchant, change, sku="A"):
    await merchant.sql(
        f"UPDATE inventory_levels l SET {change} FROM skus s WHERE l.organization_id = $1"  # noqa: S608 - literals
        " AND s.organization_id = $1 AND s.id = l.sku_id AND s.code = $2",
        merchant.organization_id,
        sku,
    )


async def test_verification_finds_and_repairs_what_drifted(merchant):
    await merchant.stock({(sku, "BER"): 10 for sku in "ABC"})
    order = merchant.order({"B": 3})
    await merchant.publish([order])
    await merchant.until(order["order_id"], "reserved")
    found = await merchant.post("/verifications", {})
    assert (found["levels"], found["found"], found["drifts"]) == (3, 0, [])
    await drifted(merchant, "quantity_total = 12, quantity_available = 12")
    await drifted(merchant, "quantity_reserved = 1, quantity_available = 9", sku="B")
    found = await merchant.post("/verifications", {"skus": ["a", "C"]})
    assert [(x["sku"], x["found"]["total"], x["expected"]["total"]) for x in found["drifts"]] == [("A", 12, 10)]
    assert await merchant.levels(sku="A") == {("A", "BER"): (12, 0, 12)}
    found = await merchant.post("/verifications", {"repair": True, "reason": "after the restore"})
    assert (found["found"], found["repaired"], found["unrepairable"]) == (2, 2, [])
    assert await merchant.levels() == {("A", "BER"): (10, 0, 10), ("B", "BER"): (10, 3, 7), ("C", "BER"): (10, 0, 10)}
    rows = (await merchant.get("/ledger", kind="repair"))["items"]
    assert {(x["sku"], x["actor"], x["reason"]) for x in rows} == {
        ("A", "tester@example.com", "after the restore"),
        ("B", "tester@example.com", "after the restore"),
    }
    assert (await merchant.post("/verifications", {"repair": True}))["found"] == 0
    # What is sold and delivered after a repair does not look like drift.
    await merchant.adjust("A", "BER", -4)
    assert (await merchant.post("/verifications", {}))["found"] == 0
    await merchant.refused("/verifications", {}, 403, "missing_role", role=Role.VIEWER)


async def test_all_levels_are_verified_step_by_step(merchant, monkeypatch):
    monkeypatch.setattr(verify, "LEVELS_A_STEP", 3)
    await merchant.stock({(sku, code): 10 for sku in "ABCD" for code in ("BER", "LYS")})
    await drifted(merchant, "quantity_total = 12, quantity_available = 12", sku="D")
    steps, cursor = [], None
    while not steps or cursor is not None:
        found = await merchant.post("/verifications", {"cursor": cursor})
        steps.append((found["levels"], found["found"]))
        cursor = found["next_cursor"]
    # A SKU is never cut in two.
    assert steps == [(4, 0), (4, 2), (0, 0)]
    await merchant.refused("/verifications", {"cursor": "bm90LW91cnM"}, 422, "invalid_cursor")


async def test_what_cannot_be_true_is_not_repaired(merchant):
    await merchant.stock({("A", "BER"): 5})
    order = merchant.order({"A": 4})
    await merchant.publish([order])
    await merchant.until(order["order_id"], "reserved")
    await merchant.sql(
        "UPDATE allocations SET quantity_reserved = 9 WHERE organization_id = $1", merchant.organization_id
    )
    found = await merchant.post("/verifications", {"repair": True})
    assert (found["found"], found["repaired"]) == (1, 0)
    assert [(x["sku"], x["expected"]["reserved"]) for x in found["unrepairable"]] == [("A", 9)]
    assert await merchant.levels() == {("A", "BER"): (5, 4, 1)}


async def test_verification_sees_only_its_tenant(merchant):
    other = merchant.inventory.merchant()
    for one in (merchant, other):
        await one.stock({("A", "BER"): 5})
    await drifted(merchant, "quantity_total = 12, quantity_available = 12")
    assert (await other.post("/verifications", {"repair": True}))["found"] == 0
    assert await merchant.levels() == {("A", "BER"): (12, 0, 12)}
