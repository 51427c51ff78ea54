"""Labelled parcels leave the shelves once; voided ones come back."""

from uuid import UUID

import pytest
from rappit_common.clock import new_id, utc_now
from rappit_common.testing.waiting import eventually
from rappit_common.web.auth import Principal, Role

pytestmark = pytest.mark.server
EVENT = "shipping.shipment-changed.v1"


def shipment(merchant, order_id, version, status, lines, shipment_id, warehouse=None):
    return {
        "organization_id": str(merchant.organization_id),
        "shipment_id": str(shipment_id),
        "order_id": str(order_id),
        "shipment_version": version,
        "status": status,
        "carrier": "dhl",
        "tracking_number": "1",
        "warehouse_code": warehouse,
        "lines": [{"sku": sku, "quantity": quantity} for sku, quantity in lines.items()],
    }


async def reserved(merchant, demand):
    order = merchant.order(demand)
    await merchant.publish([order])
    await merchant.until(UUID(order["order_id"]), "reserved")
    return UUID(order["order_id"])


async def levels_become(merchant, expected):
    async def equal():
        return await merchant.levels() == expected

    await eventually(equal, what=f"levels {expected}")


async def test_label_takes_and_void_gives_back_once(merchant):
    await merchant.stock({("A", "BER"): 10})
    order_id, shipment_id = await reserved(merchant, {"A": 4}), new_id()
    labelled = shipment(merchant, order_id, 1, "labelled", {"a": 3}, shipment_id, "BER")
    await merchant.publish([labelled, dict(labelled)], EVENT)
    await levels_become(merchant, {("A", "BER"): (7, 1, 6)})
    voided = shipment(merchant, order_id, 2, "voided", {"A": 3}, shipment_id)
    await merchant.publish([voided, dict(voided)], EVENT)
    await levels_become(merchant, {("A", "BER"): (10, 4, 6)})
    await merchant.publish([dict(labelled)], EVENT)
    late = await reserved(merchant, {"A": 1})
    assert (await merchant.reservation(late))["status"] == "reserved"
    await levels_become(merchant, {("A", "BER"): (10, 5, 5)})
    found = await merchant.reservation(order_id)
    assert found["allocations"] == [{"sku": "A", "warehouse_code": "BER", "quantity": 4}]
    await merchant.assert_ledger_matches()


async def test_void_that_overtakes_its_label_ends_in_the_same_place(merchant):
    await merchant.stock({("A", "BER"): 10})
    order_id, shipment_id = await reserved(merchant, {"A": 4}), new_id()
    await merchant.publish([shipment(merchant, order_id, 2, "voided", {"A": 4}, shipment_id)], EVENT)

    async def seen():
        query = "SELECT shipment_version FROM applied_shipments WHERE shipment_id = $1"
        return [row[0] for row in await merchant.sql(query, shipment_id)] == [2]

    await eventually(seen)
    await merchant.publish([shipment(merchant, order_id, 1, "labelled", {"A": 4}, shipment_id)], EVENT)
    other = new_id()
    await merchant.publish([shipment(merchant, order_id, 1, "labelled", {"A": 1}, other)], EVENT)
    await levels_become(merchant, {("A", "BER"): (9, 3, 6)})


async def test_units_of_a_cancelled_order_become_free_when_its_label_is_voided(merchant):
    await merchant.stock({("A", "BER"): 2})
    order_id, shipment_id = await reserved(merchant, {"A": 2}), new_id()
    await merchant.publish([shipment(merchant, order_id, 1, "labelled", {"A": 2}, shipment_id)], EVENT)
    await levels_become(merchant, {("A", "BER"): (0, 0, 0)})
    await merchant.publish([merchant.order({}, 2, order_id)])
    await merchant.until(order_id, "released")
    waiting = merchant.order({"A": 1})
    await merchant.publish([waiting])
    await merchant.until(UUID(waiting["order_id"]), "backordered")
    await merchant.publish([shipment(merchant, order_id, 2, "voided", {"A": 2}, shipment_id)], EVENT)
    await merchant.until(UUID(waiting["order_id"]), "reserved")
    await levels_become(merchant, {("A", "BER"): (2, 1, 1)})
    await merchant.assert_ledger_matches()


async def test_parcel_bought_while_its_order_was_changed_leaves_the_shelves_all_the_same(merchant):
    await merchant.stock({("A", "BER"): 10, ("B", "BER"): 10})
    order = merchant.order({"A": 3})
    order_id, shipment_id = UUID(order["order_id"]), new_id()
    await merchant.publish([order])
    await merchant.until(order_id, "reserved")
    await merchant.publish([{**order, "order_version": 2, "demand": [{"sku": "B", "quantity": 2}]}])
    await levels_become(merchant, {("A", "BER"): (10, 0, 10), ("B", "BER"): (10, 2, 8)})
    await merchant.publish([shipment(merchant, order_id, 1, "labelled", {"A": 3}, shipment_id, "BER")], EVENT)
    await levels_become(merchant, {("A", "BER"): (7, 0, 7), ("B", "BER"): (10, 2, 8)})
    await merchant.publish([shipment(merchant, order_id, 2, "voided", {"A": 3}, shipment_id)], EVENT)
    await levels_become(merchant, {("A", "BER"): (10, 0, 10), ("B", "BER"): (10, 2, 8)})
    await merchant.assert_ledger_matches()


async def test_parcel_of_what_was_not_reserved_is_a_dead_letter_that_says_so(merchant):
    await merchant.stock({("A", "BER"): 5})
    order_id = await reserved(merchant, {"A": 1})
    await merchant.publish([shipment(merchant, order_id, 1, "labelled", {"A": 6}, new_id())], EVENT)
    operator = Principal(new_id(), None, Role.OPERATOR, "operator@example.com")
    from datetime import timedelta  # noqa: PLC0415 - needed here only

    token = merchant.inventory.tokens.issue(operator, now=utc_now(), lifetime=timedelta(minutes=5))
    headers = {"Authorization": f"Bearer {token}"}

    async def dead():
        answer = await merchant.inventory.http.get("/inventory/ops/dead-letters", headers=headers)
        items = answer.json()["items"]
        return [x for x in items if x["organization_id"] == str(merchant.organization_id)]

    [letter] = await eventually(dead)
    assert (letter["error_type"], letter["attempts"]) == ("not_reserved", 1)
    assert await merchant.levels() == {("A", "BER"): (5, 1, 4)}
