"""What becomes of purchases and voids while a carrier, or our own servers, fail."""

import asyncio
import datetime as dt
import time
from uuid import UUID

import pytest
from rappit_common.testing.waiting import eventually
from rappit_shipping.domain.carrier import LabelUnreadableError
from rappit_shipping.domain.shipments import ShipmentStatus

pytestmark = pytest.mark.server
BOTH = pytest.mark.parametrize("carrier", ["fedex", "dhl"])
OTHER = {"fedex": "dhl", "dhl": "fedex"}


async def opened(merchant, double, carrier="fedex"):
    """Fail a carrier five times in a row; nothing is bought by any of them."""
    await double.fail(carrier, "status", status=429, times=5)
    for _ in range(5):
        answer = await merchant.buy(carrier, await merchant.order())
        assert (answer.status_code, answer.json()["code"]) == (503, "carrier_unavailable")
    assert (await merchant.breaker(carrier))["state"] == "open"


@BOTH
async def test_five_failures_open_the_breaker_and_the_sixth_is_answered_fast_without_a_call(merchant, double, carrier):
    order_id = await merchant.order()
    await opened(merchant, double, carrier)
    calls = await double.calls(carrier)
    started = time.perf_counter()
    refused = await merchant.buy(carrier, order_id, key="kept")
    elapsed_ms = (time.perf_counter() - started) * 1_000
    assert (refused.status_code, refused.json()["code"]) == (503, "carrier_unavailable")
    assert int(refused.headers["retry-after"]) >= 1
    assert "not asked" in refused.json()["detail"]
    assert elapsed_ms < 100, "a loaded test machine; a few milliseconds otherwise"
    assert await double.calls(carrier) == calls
    view = await merchant.breaker(carrier)
    assert (view["state"], view["is_shared"], view["opens_until"] is not None) == ("open", True, True)
    assert (await merchant.buy(OTHER[carrier], await merchant.order())).status_code == 201

    async def tried_again():
        answer = await merchant.buy(carrier, order_id, key="kept")
        return answer.status_code == 201

    await eventually(tried_again, what="the refused request under its own key")


async def test_half_open_breaker_lets_one_call_try(merchant, double):
    orders = [await merchant.order() for _ in range(10)]
    await opened(merchant, double)

    async def half_open():
        return (await merchant.breaker("fedex"))["state"] == "half_open"

    await eventually(half_open)
    calls = await double.calls("fedex")
    await double.fail("fedex", "latency", latency_ms=200, times=None)
    answers = await asyncio.gather(*(merchant.buy("fedex", order_id) for order_id in orders))
    assert sorted(answer.status_code for answer in answers) == [201] + [503] * 9
    assert await double.calls("fedex") == calls + 1
    assert (await merchant.breaker("fedex"))["state"] == "closed"


async def test_failed_try_opens_the_breaker_again(merchant, double):
    await opened(merchant, double)

    async def half_open():
        return (await merchant.breaker("fedex"))["state"] == "half_open"

    await eventually(half_open)
    await double.fail("fedex", "status", status=429)
    await merchant.buy("fedex", await merchant.order())
    assert (await merchant.breaker("fedex"))["state"] == "open"


async def test_refusals_open_no_breaker(merchant, double):
    for _ in range(7):
        refused = await merchant.buy("fedex", await merchant.order(), parcels=[{"weight_kg": "99"}])
        assert refused.status_code == 422
    assert (await merchant.breaker("fedex"))["state"] == "closed"
    assert await double.calls("fedex") == 7


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"kind": "lost_answer"}, 504),
        ({"kind": "lost_answer", "ending": "reset"}, 502),
    ],
    ids=["hung", "reset"],
)
async def test_sold_label_whose_answer_was_lost_is_found_and_never_bought_twice(merchant, double, fault, status):
    order_id = await merchant.order()
    await double.fail("fedex", **fault)
    answer = await merchant.buy("fedex", order_id, key="lost")
    assert (answer.status_code, answer.json()["code"]) == (status, "outcome_unknown")
    shipment_id = answer.json()["shipment_id"]
    assert shipment_id in answer.json()["detail"]
    repeated = await merchant.buy("fedex", order_id, key="lost")
    assert repeated.json()["id"] == shipment_id
    shipment = await merchant.settled(shipment_id, "labelled")
    [sold] = await double.sold(carrier="fedex")
    assert sold["tracking_number"] == shipment["tracking_number"]
    assert await double.calls("fedex") == 1
    assert shipment["problem"]["code"] == "label_lost"
    missing = await merchant.call("GET", f"/shipments/{shipment_id}/label")
    assert (missing.status_code, missing.json()["code"]) == (409, "label_missing")

    async def told():
        return merchant.told(shipment_id) == [(1, "labelled")]

    await eventually(told)
    assert (await merchant.void(shipment_id)).json()["status"] == "voided"


@pytest.mark.parametrize("fault", [{"kind": "status", "status": 503}, {"kind": "html"}, {"kind": "not_json"}], ids=str)
async def test_purchase_of_which_the_carrier_knows_nothing_is_failed_after_bounded_looks(merchant, double, fault):
    order_id = await merchant.order()
    await double.fail("fedex", **fault)
    answer = await merchant.buy("fedex", order_id)
    assert (answer.status_code, answer.json()["code"]) == (502, "outcome_unknown")
    shipment = await merchant.settled(answer.json()["shipment_id"], "failed")
    assert shipment["problem"]["code"] == "not_bought"
    assert await double.calls("fedex", "track_reference") == 3
    assert await double.calls("fedex") == 1
    assert (await merchant.buy("fedex", order_id)).status_code == 201


async def test_unknown_purchase_at_a_carrier_without_search_waits_for_a_person(merchant, double):
    order_id = await merchant.order()
    await double.fail("dhl", "lost_answer")
    answer = await merchant.buy("dhl", order_id)
    assert (answer.status_code, answer.json()["code"]) == (504, "outcome_unknown")
    shipment_id = answer.json()["shipment_id"]
    shipment = await merchant.shipment(shipment_id)
    assert (shipment["status"], shipment["needs_person"]) == ("outcome_unknown", True)
    assert (await merchant.buy("dhl", order_id)).json()["code"] == "already_labelled"
    [sold] = await double.sold(carrier="dhl")
    verdict = {"verdict": "bought", "tracking_number": sold["tracking_number"], "reason": "Seen in DHL's portal"}
    settled = await merchant.call("POST", f"/shipments/{shipment_id}/settle", json=verdict)
    assert (settled.status_code, settled.json()["status"]) == (200, "labelled"), settled.text
    again = await merchant.call("POST", f"/shipments/{shipment_id}/settle", json=verdict)
    assert (again.status_code, again.json()["code"]) == (409, "shipment_status")
    assert (await merchant.void(shipment_id)).json()["status"] == "voided"
    assert await double.calls("dhl") == 1


async def test_unreachable_carrier_is_a_failure_that_may_be_tried_again(merchant, shipping, double):
    order_id = await merchant.order()
    http = shipping.runtime_carrier_http("fedex")
    address, http.base_url = http.base_url, "http://127.0.0.1:9"
    try:
        answer = await merchant.buy("fedex", order_id)
    finally:
        http.base_url = address
    assert (answer.status_code, answer.json()["code"]) == (503, "carrier_unavailable")
    assert "Nothing was bought: try again" in answer.json()["detail"]
    assert (await merchant.shipment(answer.json()["shipment_id"]))["status"] == "failed"
    assert (await merchant.buy("fedex", order_id)).status_code == 201


async def test_caller_who_hangs_up_leaves_a_recorded_label(merchant, double):
    order_id = await merchant.order()
    await double.fail("fedex", "latency", latency_ms=200)
    request = asyncio.create_task(merchant.buy("fedex", order_id))

    async def asked():
        return await double.calls("fedex") == 1

    await eventually(asked)
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)

    async def recorded():
        [shipment] = (await merchant.call("GET", "/shipments")).json()["items"]
        return shipment["status"] == "labelled" and shipment["label_available"]

    await eventually(recorded)
    assert (await merchant.breaker("fedex"))["failures"] == 0


@BOTH
async def test_void_whose_answer_was_lost_is_looked_up_and_told_once(merchant, double, carrier, monkeypatch):
    shipment = (await merchant.buy(carrier, await merchant.order())).json()
    if carrier == "dhl":
        # Before 18:00, when DHL's silence about a shipment still says that it is gone.
        monkeypatch.setattr("rappit_shipping.carriers.dhl.DAY_CLOSE", dt.time.max)
    await double.fail(carrier, "lost_answer", operations=["cancel"])
    answer = await merchant.void(shipment["id"])
    assert (answer.status_code, answer.json()["code"]) == (504, "outcome_unknown")
    await merchant.settled(shipment["id"], "voided")
    assert await double.calls(carrier, "cancel") == 1

    async def told():
        return merchant.told(shipment["id"]) == [(1, "labelled"), (2, "voided")]

    await eventually(told)


@BOTH
async def test_void_that_was_never_carried_out_is_asked_for_again(merchant, double, carrier):
    shipment = (await merchant.buy(carrier, await merchant.order())).json()
    await double.fail(carrier, "hang", operations=["cancel"])
    assert (await merchant.void(shipment["id"])).status_code == 504
    await merchant.settled(shipment["id"], "voided")
    [sold] = await double.sold(reference=shipment["reference"])
    assert (sold["status"], await double.calls(carrier, "cancel")) == ("voided", 2)


async def test_void_is_asked_for_once_by_callers_at_the_same_time(merchant, double):
    shipment = (await merchant.buy("fedex", await merchant.order())).json()
    await double.fail("fedex", "latency", latency_ms=200, operations=["cancel"])
    answers = await asyncio.gather(*(merchant.void(shipment["id"]) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 4
    assert await double.calls("fedex", "cancel") == 1


async def test_unreadable_label_was_bought_all_the_same(merchant, shipping, double, monkeypatch):
    def unreadable(_raw, _format):
        raise LabelUnreadableError("An odd PDF.")

    monkeypatch.setattr(shipping.desk.carriers["fedex"]._inner, "read_label", unreadable)
    answer = await merchant.buy("fedex", await merchant.order())
    shipment = answer.json()
    assert (answer.status_code, shipment["status"], shipment["label_available"]) == (201, "labelled", False)
    assert shipment["problem"]["code"] == "label_unreadable"
    [sold] = await double.sold(carrier="fedex")
    assert sold["tracking_number"] == shipment["tracking_number"]
    async with shipping.runtime.units.begin(merchant.organization_id) as unit:
        raw = await unit.shipments.raw_response(UUID(shipment["id"]))
    assert sold["tracking_number"] in str(raw)


async def test_stale_intent_is_looked_up(merchant, shipping, double):
    """A process that died between the carrier's answer and our record leaves `purchasing`; nobody buys again."""
    shipment = (await merchant.buy("fedex", await merchant.order())).json()
    async with shipping.runtime.units.begin(merchant.organization_id) as unit:
        stored = await unit.shipments.lock(UUID(shipment["id"]))
        stored.status, stored.tracking_number, stored.version = ShipmentStatus.PURCHASING, None, 0
        stored.next_look_at = stored.created_at - dt.timedelta(seconds=1)
    found = await merchant.settled(shipment["id"], "labelled")
    assert found["tracking_number"] == shipment["tracking_number"]
    assert await double.calls("fedex") == 1
