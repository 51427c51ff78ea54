"""Merchants put orders ahead, take their units away, give them back and move them; all of it is on record."""

from datetime import datetime
from uuid import UUID

import asyncpg
import pytest
from rappit_common.clock import new_id, utc_now
from rappit_common.testing.waiting import eventually
from rappit_common.web.auth import Role
from rappit_inventory.service.reserve import OrderVersion, reserve_orders

pytestmark = pytest.mark.server


async def place(merchant, demand, status, version=1, order_id=None):
    order = merchant.order(demand, version, order_id)
    await merchant.publish([order])
    placed = UUID(order["order_id"])
    await merchant.until(placed, status, version)
    return placed


def places(reservation):
    return {(x["sku"], x["warehouse_code"]): x["quantity"] for x in reservation["allocations"]}


async def ledger_of(merchant, order_id):
    rows = (await merchant.get("/ledger", source_id=str(order_id)))["items"]
    return [
        (x["kind"], x["warehouse_code"], x["reserved_after"] - x["reserved_before"], x["actor"], x["reason"])
        for x in reversed(rows)
    ]


async def test_who_was_put_ahead_is_served_first_and_who_was_put_behind_last(merchant):
    await merchant.stock({("A", "BER"): 0})
    first, second, third = [await place(merchant, {"A": 1}, "backordered") for _ in range(3)]
    done = await merchant.post(f"/reservations/{third}/priority", {"priority": 10, "reason": "a shop opens"})
    assert (done["priority"], done["steps"][0]["detail"]) == (10, {"before": 100, "after": 10})
    assert done["steps"][0]["actor"] == "tester@example.com"
    await merchant.post(f"/reservations/{first}/priority", {"priority": 500})
    # A second time nothing happens.
    assert len((await merchant.post(f"/reservations/{first}/priority", {"priority": 500}))["steps"]) == 1
    await merchant.adjust("A", "BER", 1)
    await merchant.until(third, "reserved")
    await merchant.adjust("A", "BER", 1)
    await merchant.until(second, "reserved")
    # One that comes now is ordinary, and goes before the one that was put behind.
    newcomer = await place(merchant, {"A": 1}, "backordered")
    await merchant.adjust("A", "BER", 1)
    await merchant.until(newcomer, "reserved")
    assert (await merchant.reservation(first))["status"] == "backordered"
    await merchant.adjust("A", "BER", 1)
    await merchant.until(first, "reserved")


async def test_a_newcomer_passes_those_who_were_put_behind_and_no_others(merchant):
    await merchant.stock({("A", "BER"): 0})
    behind, ordinary = [await place(merchant, {"A": 1}, "backordered") for _ in range(2)]
    await merchant.post(f"/reservations/{behind}/priority", {"priority": 500})
    # Stock arrives, but the step that serves the line has not run: as if the worker were down.
    await merchant.sql(
        "UPDATE inventory_levels SET quantity_total = 2, quantity_available = 2 WHERE organization_id = $1",
        merchant.organization_id,
    )
    await place(merchant, {"A": 1}, "reserved")
    assert (await merchant.reservation(ordinary))["status"] == "reserved"
    assert (await merchant.reservation(behind))["status"] == "backordered"


async def test_a_long_line_is_served_step_by_step_in_the_order_of_priorities(merchant):
    await merchant.stock({("A", "BER"): 0})
    units, organization_id = merchant.inventory.runtime.units, merchant.organization_id
    waiting = [OrderVersion(new_id(), 1, (("A", 1),)) for _ in range(450)]
    async with units.begin(organization_id) as unit:
        await reserve_orders(unit, waiting, now=utc_now())
    ahead = [order.order_id for order in waiting[200:]]
    for table in ("demands", "demand_lines"):
        await merchant.sql(
            f"UPDATE {table} SET priority = 10 WHERE organization_id = $1 AND order_id = ANY($2)",  # noqa: S608 - names
            organization_id,
            ahead,
        )
    # The first step of 200 ends among those put ahead, the second among the others.
    assert (await merchant.adjust("A", "BER", 300)).status_code == 201

    async def served():
        rows = await merchant.sql(
            "SELECT order_id FROM demands WHERE organization_id = $1 AND status = 'reserved'", organization_id
        )
        return {row["order_id"] for row in rows} if len(rows) == 300 else None

    found = await eventually(served, what="all that came given out")
    assert found == {*ahead, *(order.order_id for order in waiting[:50])}
    await merchant.assert_ledger_matches()


async def test_the_priority_stays_with_an_order_through_its_versions(merchant):
    await merchant.stock({("A", "BER"): 0})
    order_id = await place(merchant, {"A": 1}, "backordered")
    await merchant.post(f"/reservations/{order_id}/priority", {"priority": 7})
    await place(merchant, {"A": 2}, "backordered", 2, order_id)
    assert (await merchant.reservation(order_id))["priority"] == 7


async def test_released_by_a_person_an_order_gives_its_units_to_those_who_wait(merchant):
    await merchant.stock({("A", "BER"): 3})
    holder = await place(merchant, {"A": 3}, "reserved")
    waiting = await place(merchant, {"A": 2}, "backordered")
    done = await merchant.post(f"/reservations/{holder}/release", {"reason": "Customer asks for June."})
    assert (done["status"], done["reason"], done["allocations"]) == ("backordered", None, [])
    assert done["message"] == (
        "Released by tester@example.com: Customer asks for June. It waits until it is resumed, or changed."
    )
    assert (done["released_by"], done["steps"][0]["detail"]) == (
        "tester@example.com",
        {"lines": [{"sku": "A", "warehouse_code": "BER", "quantity": 3}]},
    )
    await merchant.until(waiting, "reserved")
    # More than enough arrives, and it is not filled by itself.
    await merchant.adjust("A", "BER", 5)
    await place(merchant, {"A": 1}, "reserved")
    found = await merchant.reservation(holder)
    assert (found["status"], found["reservation_version"]) == ("backordered", 2)
    assert await ledger_of(merchant, holder) == [
        ("reserve", "BER", 3, "orders", None),
        ("release", "BER", -3, "tester@example.com", "Customer asks for June."),
    ]
    # A second time nothing happens, and resumed it has its units at once.
    again = await merchant.post(f"/reservations/{holder}/release", {"reason": "Again"})
    assert (again["released_reason"], len(again["steps"])) == ("Customer asks for June.", 1)
    done = await merchant.post(f"/reservations/{holder}/resume", {})
    assert (done["status"], places(done), done["released_by"]) == ("reserved", {("A", "BER"): 3}, None)
    assert [step["action"] for step in done["steps"]] == ["resumed", "released"]
    assert len((await merchant.post(f"/reservations/{holder}/resume", {}))["steps"]) == 2
    told = [x for x in await merchant.told("inventory.reservation-changed.v1") if x["order_id"] == str(holder)]
    assert [x["status"] for x in told] == ["reserved", "backordered", "reserved"]
    await merchant.assert_ledger_matches()


async def test_a_released_order_comes_back_when_it_asks_for_something_else(merchant):
    await merchant.stock({("A", "BER"): 9})
    order_id = await place(merchant, {"A": 3}, "reserved")
    await merchant.post(f"/reservations/{order_id}/release", {"reason": "wait"})
    # A new version that needs the same changes nothing about it.
    await place(merchant, {"A": 3}, "backordered", 2, order_id)
    assert (await merchant.reservation(order_id))["released_reason"] == "wait"
    await place(merchant, {"A": 4}, "reserved", 3, order_id)
    assert (await merchant.reservation(order_id))["released_reason"] is None
    await merchant.post(f"/reservations/{order_id}/release", {"reason": "wait"})
    await place(merchant, {}, "released", 4, order_id)
    path = f"/reservations/{order_id}/release"
    detail = await merchant.refused(path, {"reason": "wait"}, 409, "reservation_complete")
    assert detail == f"Order {order_id} needs no stock any more: all of it was shipped, or it was cancelled."


async def test_resumed_an_order_has_kept_its_place_in_line(merchant):
    await merchant.stock({("A", "BER"): 0})
    first = await place(merchant, {"A": 2}, "backordered")
    since = (await merchant.reservation(first))["waiting_since"]
    await merchant.post(f"/reservations/{first}/release", {"reason": "wait"})
    second = await place(merchant, {"A": 2}, "backordered")
    done = await merchant.post(f"/reservations/{first}/resume", {"reason": "go on"})
    assert (done["status"], done["reason"]) == ("backordered", "insufficient_stock")
    assert datetime.fromisoformat(done["waiting_since"]) == datetime.fromisoformat(since)
    await merchant.adjust("A", "BER", 2)
    await merchant.until(first, "reserved")
    assert (await merchant.reservation(second))["status"] == "backordered"


async def test_resumed_an_order_does_not_pass_those_who_are_ahead_of_it(merchant):
    await merchant.stock({("A", "BER"): 0})
    first, second = [await place(merchant, {"A": 2}, "backordered") for _ in range(2)]
    await merchant.post(f"/reservations/{first}/release", {"reason": "wait"})
    await merchant.post(f"/reservations/{second}/priority", {"priority": 1})
    # Stock arrives, but the step that serves the line has not run: as if the worker were down.
    await merchant.sql(
        "UPDATE inventory_levels SET quantity_total = 2, quantity_available = 2 WHERE organization_id = $1",
        merchant.organization_id,
    )
    assert (await merchant.post(f"/reservations/{first}/resume", {}))["status"] == "backordered"
    assert (await merchant.reservation(second))["status"] == "reserved"


async def test_units_move_to_another_warehouse_that_has_them_free(merchant):
    await merchant.stock({("TEE-M", "LYS"): 5, ("TEE-M", "BER"): 0})
    order_id = await place(merchant, {"TEE-M": 4}, "reserved")
    await merchant.stock({("TEE-M", "BER"): 3})
    move = {"sku": "tee-m", "from_warehouse_code": "lys", "to_warehouse_code": "ber", "quantity": 3}
    done = await merchant.post(f"/reservations/{order_id}/move", {**move, "reason": "pick at once"})
    assert places(done) == {("TEE-M", "LYS"): 1, ("TEE-M", "BER"): 3}
    assert (done["status"], done["reservation_version"]) == ("reserved", 2)
    assert done["steps"][0]["detail"] == {"sku": "TEE-M", "from": "LYS", "to": "BER", "quantity": 3}
    assert await merchant.levels() == {("TEE-M", "LYS"): (5, 1, 4), ("TEE-M", "BER"): (3, 3, 0)}
    assert (await ledger_of(merchant, order_id))[1:] == [
        ("release", "LYS", -3, "tester@example.com", "pick at once"),
        ("reserve", "BER", 3, "tester@example.com", "pick at once"),
    ]
    told = (await merchant.told("inventory.reservation-changed.v1"))[-1]
    assert {(x["warehouse_code"], x["quantity"]) for x in told["allocations"]} == {("LYS", 1), ("BER", 3)}
    await merchant.assert_ledger_matches()


async def test_a_move_is_refused_with_what_there_is(merchant):
    await merchant.stock({("TEE-M", "LYS"): 5, ("TEE-M", "BER"): 0, ("OTHER", "MIL"): 1})
    order_id = await place(merchant, {"TEE-M": 4}, "reserved")
    await merchant.adjust("TEE-M", "BER", 1)
    path = f"/reservations/{order_id}/move"
    move = {"sku": "TEE-M", "from_warehouse_code": "LYS", "to_warehouse_code": "BER", "quantity": 3}
    detail = await merchant.refused(path, move, 409, "insufficient_stock")
    assert detail == "Insufficient stock for SKU TEE-M: 3 requested, 1 available in BER."
    detail = await merchant.refused(path, {**move, "to_warehouse_code": "MIL"}, 409, "insufficient_stock")
    assert detail == "Insufficient stock for SKU TEE-M: 3 requested, 0 available in MIL."
    assert ("TEE-M", "MIL") not in await merchant.levels()
    detail = await merchant.refused(path, {**move, "quantity": 5}, 409, "not_held")
    assert detail == "The order has 4 of SKU TEE-M reserved in LYS, cannot move 5."
    await merchant.refused(path, {**move, "sku": "NONE"}, 404, "unknown_sku")
    await merchant.refused(path, {**move, "to_warehouse_code": "NONE"}, 404, "unknown_warehouse")
    await merchant.refused(path, {**move, "to_warehouse_code": "lys"}, 422, "validation_error")
    await merchant.post("/warehouses/BER", {"active": False}, method="PATCH")
    await merchant.refused(path, {**move, "quantity": 1}, 409, "inactive_warehouse")
    assert places(await merchant.reservation(order_id)) == {("TEE-M", "LYS"): 4}
    move["to_warehouse_code"] = "MIL"
    for act, body in (("priority", {"priority": 1}), ("release", {"reason": "x"}), ("resume", {}), ("move", move)):
        await merchant.refused(f"/reservations/{new_id()}/{act}", body, 404, "unknown_reservation")
        await merchant.refused(f"/reservations/{order_id}/{act}", body, 403, "missing_role", role=Role.VIEWER)


async def test_what_people_did_is_never_changed(merchant):
    await merchant.stock({("A", "BER"): 1})
    order_id = await place(merchant, {"A": 1}, "reserved")
    await merchant.post(f"/reservations/{order_id}/priority", {"priority": 1})
    for change in ("UPDATE reservation_steps SET actor = 'nobody'", "DELETE FROM reservation_steps"):
        with pytest.raises(asyncpg.PostgresError):
            await merchant.sql(f"{change} WHERE organization_id = $1", merchant.organization_id)


async def test_lists_tell_who_holds_what_and_who_waits(merchant):
    await merchant.stock({("A", "BER"): 4, ("A", "LYS"): 3, ("B", "BER"): 1})
    one = await place(merchant, {"A": 4}, "reserved")
    two = await place(merchant, {"A": 2, "B": 1}, "reserved")
    three = await place(merchant, {"B": 2}, "backordered")
    four = await place(merchant, {"UNKNOWN": 1}, "on_hold")
    five = await place(merchant, {"A": 1}, "reserved")
    await place(merchant, {}, "released", 2, five)

    async def found(**asked):
        seen, cursor = [], None
        while True:
            page = await merchant.get("/reservations", limit=2, **asked, **({"cursor": cursor} if cursor else {}))
            assert len(page["items"]) <= 2
            seen += [UUID(x["order_id"]) for x in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                return seen

    assert await found() == [five, four, three, two, one]
    assert await found(status="reserved") == [two, one]
    assert await found(status="released") == [five]
    assert await found(status="on_hold") == [four]
    assert await found(waiting=True) == [four, three]
    assert await found(waiting=False, status="on_hold") == []
    assert await found(sku="a") == [two, one]
    assert await found(sku="B") == [three, two]
    assert await found(sku="B", waiting=True) == [three]
    assert await found(sku="B", status="reserved") == [two]
    assert await found(warehouse_code="lys") == [two]
    assert await found(warehouse_code="BER") == [two, one]
    assert await found(warehouse_code="BER", sku="B") == [two]
    assert await found(sku="NONE") == []
    [head, *_] = (await merchant.get("/reservations", waiting=True, sku="B"))["items"]
    assert (head["status"], head["reason"], head["priority"]) == ("backordered", "insufficient_stock", 100)
    assert head["shortages"] == [{"sku": "B", "requested": 2, "available": 0}]
    [head, *_] = (await merchant.get("/reservations", warehouse_code="LYS"))["items"]
    assert places(head) == {("A", "LYS"): 2, ("B", "BER"): 1}
    assert await merchant.inventory.merchant().get("/reservations") == {"items": [], "next_cursor": None}


async def test_a_released_order_on_hold_stays_so_when_its_sku_becomes_known(merchant):
    await merchant.stock({("A", "BER"): 9})
    order_id = await place(merchant, {"A": 1, "NEW": 1}, "on_hold")
    done = await merchant.post(f"/reservations/{order_id}/release", {"reason": "wait"})
    assert done["status"] == "backordered"
    await merchant.stock({("NEW", "BER"): 5})
    patient = await place(merchant, {"NEW": 1}, "reserved")
    assert (await merchant.reservation(order_id))["status"] == "backordered"
    assert (await merchant.post(f"/reservations/{order_id}/resume", {}))["status"] == "reserved"
    assert (await merchant.reservation(patient))["status"] == "reserved"


async def test_those_who_wait_for_an_unknown_sku_are_served_past_one_that_was_released(merchant):
    await merchant.stock({("A", "BER"): 1})
    released, first, second = [await place(merchant, {"NEW": 1}, "on_hold") for _ in range(3)]
    await merchant.post(f"/reservations/{released}/release", {"reason": "wait"})
    await merchant.stock({("NEW", "BER"): 5})
    await merchant.until(first, "reserved")
    await merchant.until(second, "reserved")
    assert (await merchant.reservation(released))["status"] == "backordered"


async def ship(merchant, order_id, quantity):
    shipment = {
        "organization_id": str(merchant.organization_id),
        "shipment_id": str(new_id()),
        "order_id": str(order_id),
        "shipment_version": 1,
        "status": "labelled",
        "warehouse_code": "BER",
        "lines": [{"sku": "A", "quantity": quantity}],
    }
    await merchant.publish([shipment], "shipping.shipment-changed.v1")

    async def gone():
        return await merchant.levels() == {("A", "BER"): (9 - quantity, 0, 9 - quantity)}

    await eventually(gone, what="the parcel taken off the shelf")


async def test_what_was_shipped_is_complete_and_not_released(merchant):
    await merchant.stock({("A", "BER"): 9})
    order_id = await place(merchant, {"A": 2}, "reserved")
    await ship(merchant, order_id, 2)
    path = f"/reservations/{order_id}/release"
    await merchant.refused(path, {"reason": "too late"}, 409, "reservation_complete")


async def test_a_parcel_that_left_all_the_same_completes_a_released_order(merchant):
    await merchant.stock({("A", "BER"): 9})
    order_id = await place(merchant, {"A": 2}, "reserved")
    await merchant.post(f"/reservations/{order_id}/release", {"reason": "wait"})
    await ship(merchant, order_id, 2)
    found = await merchant.until(order_id, "reserved")
    assert (found["message"], found["released_by"]) == (None, "tester@example.com")
    assert (await merchant.post(f"/reservations/{order_id}/resume", {}))["released_by"] is None
    assert (await merchant.reservation(order_id))["status"] == "reserved"
    await merchant.assert_ledger_matches()
