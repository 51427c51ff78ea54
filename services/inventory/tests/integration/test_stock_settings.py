"""An organization chooses how its orders are served."""

from uuid import UUID

import pytest
from rappit_common.clock import new_id
from rappit_common.testing.waiting import eventually
from rappit_common.web.auth import Role

pytestmark = pytest.mark.server

HAMBURG = {"name": "Lena", "line1": "Kirchweg 7", "city": "Hamburg", "postal_code": "20 095", "country_code": "DE"}


async def choose(merchant, **settings):
    return await merchant.post("/settings", settings, method="PUT")


async def place(merchant, demand, version=1, order_id=None, **more):
    order = {**merchant.order(demand, version, order_id), **more}
    await merchant.publish([order])
    return UUID(order["order_id"])


async def locate(merchant, **places):
    for code, (country, postal, priority) in places.items():
        address = {"line1": "Dock 1", "city": "Somewhere", "postal_code": postal, "country_code": country}
        body = {"name": code, "priority": priority, "country_code": country, "address": address}
        await merchant.post(f"/warehouses/{code}", body, method="PATCH")


def places(reservation):
    return {(x["sku"], x["warehouse_code"]): x["quantity"] for x in reservation["allocations"]}


async def test_defaults_hold_until_somebody_chooses_and_viewers_do_not(merchant):
    expected = {
        "allocation_strategy": "priority",
        "partial_reservations": False,
        "updated_by": None,
        "updated_at": None,
    }
    assert await merchant.get("/settings") == expected
    chosen = await choose(merchant, allocation_strategy="nearest", partial_reservations=True)
    assert (chosen["allocation_strategy"], chosen["partial_reservations"]) == ("nearest", True)
    assert chosen["updated_by"] == "tester@example.com"
    assert await merchant.get("/settings") == chosen
    # What is left out is as by default, since a PUT is the whole.
    assert (await choose(merchant))["allocation_strategy"] == "priority"
    await merchant.refused("/settings", {}, 403, "missing_role", method="PUT", role=Role.VIEWER)
    await merchant.refused("/settings", {"allocation_strategy": "dice"}, 422, "validation_error", method="PUT")
    assert (await merchant.inventory.merchant().get("/settings"))["updated_at"] is None


async def test_orders_are_served_by_the_strategy_that_was_chosen(merchant):
    await merchant.stock({(sku, code): 9 for sku in ("A", "B") for code in ("MAD", "HAM")} | {("C", "MAD"): 9})
    await locate(merchant, MAD=("ES", "28001", 1), HAM=("DE", "20457", 2))
    by_priority = await place(merchant, {"A": 1}, shipping_address=HAMBURG)
    assert places(await merchant.until(by_priority, "reserved")) == {("A", "MAD"): 1}
    await choose(merchant, allocation_strategy="nearest")
    nearest = await place(merchant, {"A": 1}, shipping_address=HAMBURG)
    found = await merchant.until(nearest, "reserved")
    assert (places(found), found["country_code"], found["postal_code"]) == ({("A", "HAM"): 1}, "DE", "20095")
    # What was reserved before stays where it lies; more of it comes from there as well.
    await place(merchant, {"A": 2}, 2, by_priority, shipping_address=HAMBURG)
    assert places(await merchant.until(by_priority, "reserved", 2)) == {("A", "MAD"): 2}


async def test_an_order_that_waited_is_filled_from_the_nearest_as_well(merchant):
    await merchant.stock({("A", "MAD"): 0, ("A", "HAM"): 0})
    await locate(merchant, MAD=("ES", "28001", 1), HAM=("DE", "20457", 2))
    await choose(merchant, allocation_strategy="nearest")
    order_id = await place(merchant, {"A": 2}, shipping_address=HAMBURG)
    await merchant.until(order_id, "backordered")
    await merchant.stock({("A", "MAD"): 2, ("A", "HAM"): 2})
    assert places(await merchant.until(order_id, "reserved")) == {("A", "HAM"): 2}


@pytest.mark.parametrize("address", [None, {"country_code": None}, {"country_code": 7, "postal_code": {"a": 1}}])
async def test_an_address_that_tells_nothing_is_no_obstacle(merchant, address):
    await merchant.stock({("A", "BER"): 2})
    await choose(merchant, allocation_strategy="nearest")
    order_id = await place(merchant, {"A": 2}, shipping_address=address)
    assert (await merchant.until(order_id, "reserved"))["country_code"] is None


async def test_an_order_may_have_a_part_and_the_rest_in_the_order_of_the_line(merchant):
    await merchant.stock({("A", "BER"): 3, ("B", "BER"): 9})
    await choose(merchant, partial_reservations=True)
    first = await place(merchant, {"A": 5, "B": 2})
    found = await merchant.until(first, "backordered")
    assert places(found) == {("A", "BER"): 3, ("B", "BER"): 2}
    assert found["shortages"] == [{"sku": "A", "requested": 5, "available": 3}]
    assert (found["reason"], found["message"]) == (
        "insufficient_stock",
        "Reserved in part: SKU A needs 5, 3 available.",
    )
    second = await place(merchant, {"A": 4})
    assert places(await merchant.until(second, "backordered")) == {}
    assert (await merchant.adjust("A", "BER", 3)).status_code == 201
    assert places(await merchant.until(first, "reserved")) == {("A", "BER"): 5, ("B", "BER"): 2}
    await eventually(lambda: holds(merchant, second, 1), what="the one unit that is left over")
    assert await merchant.levels() == {("A", "BER"): (6, 6, 0), ("B", "BER"): (9, 2, 7)}
    told = [x for x in await merchant.told("inventory.reservation-changed.v1") if x["order_id"] == str(second)]
    assert [(x["status"], x["allocations"]) for x in told] == [
        ("backordered", []),
        ("backordered", [{"sku": "A", "warehouse_code": "BER", "quantity": 1}]),
    ]
    await merchant.assert_ledger_matches()


async def holds(merchant, order_id, quantity):
    return sum(places(await merchant.reservation(order_id)).values()) == quantity


async def test_a_part_follows_what_the_order_asks_for(merchant):
    await merchant.stock({("A", "BER"): 3})
    await choose(merchant, partial_reservations=True)
    order_id = new_id()
    first = merchant.order({"A": 5}, 1, order_id)
    await merchant.publish([first])
    await merchant.until(order_id, "backordered", 1)
    await place(merchant, {"A": 9}, 3, order_id)
    assert places(await merchant.until(order_id, "backordered", 3)) == {("A", "BER"): 3}
    # Late and again: nothing.
    await merchant.publish([merchant.order({"A": 1}, 2, order_id), first])
    await place(merchant, {"A": 2}, 4, order_id)
    found = await merchant.until(order_id, "reserved", 4)
    assert (places(found), found["waiting_since"], found["reservation_version"]) == ({("A", "BER"): 2}, None, 3)
    await place(merchant, {"A": 7}, 5, order_id)
    await merchant.until(order_id, "backordered", 5)
    await place(merchant, {}, 6, order_id)
    assert places(await merchant.until(order_id, "released", 6)) == {}
    assert await merchant.levels() == {("A", "BER"): (3, 0, 3)}
    await merchant.assert_ledger_matches()


async def test_those_who_wait_are_given_a_part_once_that_is_allowed(merchant):
    await merchant.stock({("A", "BER"): 3})
    order_id = await place(merchant, {"A": 5})
    assert places(await merchant.until(order_id, "backordered")) == {}
    await choose(merchant, partial_reservations=True)
    await eventually(lambda: holds(merchant, order_id, 3), what="the part that there is")
    # Not any more: what it holds it keeps until it is looked at again.
    await choose(merchant, partial_reservations=False)
    assert await holds(merchant, order_id, 3)
    await place(merchant, {"A": 6}, 2, order_id)
    assert places(await merchant.until(order_id, "backordered", 2)) == {}
    await merchant.assert_ledger_matches()
