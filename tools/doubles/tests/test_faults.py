"""Each fault is seen from the caller's side, and the control API tells what really happened."""

import asyncio
import time

import httpx
import pytest
from rappit_doubles.carriers import DhlAccount, FedexAccount

ADDRESS = {
    "streetLines": ["1 Dock"],
    "city": "Memphis",
    "stateOrProvinceCode": "TN",
    "postalCode": "38116",
    "countryCode": "US",
}
PARTY = {"address": ADDRESS, "contact": {"personName": "Ada", "phoneNumber": "5550100"}}


def fedex_body(reference):
    return {
        "labelResponseOptions": "LABEL",
        "accountNumber": {"value": FedexAccount().account_number},
        "requestedShipment": {
            "shipper": PARTY,
            "recipients": [PARTY],
            "serviceType": "FEDEX_GROUND",
            "packagingType": "YOUR_PACKAGING",
            "pickupType": "USE_SCHEDULED_PICKUP",
            "shippingChargesPayment": {"paymentType": "SENDER"},
            "labelSpecification": {"imageType": "PDF", "labelStockType": "STOCK_4X6"},
            "requestedPackageLineItems": [
                {
                    "weight": {"units": "KG", "value": 1.0},
                    "customerReferences": [{"customerReferenceType": "CUSTOMER_REFERENCE", "value": reference}],
                }
            ],
        },
    }


def dhl_body(reference, **consignee):
    party = {"name1": "Ada", "addressStreet": "Weg 1", "postalCode": "53113", "city": "Bonn", "country": "DEU"}
    shipment = {
        "product": "V01PAK",
        "billingNumber": f"{DhlAccount().ekp}0102",
        "refNo": reference,
        "shipper": party,
        "consignee": party | consignee,
        "details": {"weight": {"uom": "g", "value": 900}},
    }
    return {"profile": "STANDARD_GRUPPENPROFIL", "shipments": [shipment]}


async def break_carrier(http, **fault):
    (await http.post("/_control/faults", json=fault)).raise_for_status()


async def purchases(http, reference):
    return (await http.get("/_control/shipments", params={"reference": reference})).json()


async def eventually(condition, deadline_s=5.0):
    ends_at = time.monotonic() + deadline_s
    while not await condition():
        assert time.monotonic() < ends_at, "the condition did not come true in time"
        await asyncio.sleep(0.01)


async def test_two_equal_posts_buy_two_labels(http, fedex, dhl):
    for _ in range(2):
        same = {"x-customer-transaction-id": "same-id"}
        answer = await fedex.post("/ship/v1/shipments", json=fedex_body("twice"), headers=same)
        assert answer.json()["customerTransactionId"] == "same-id"
        (await dhl.post("/orders", json=dhl_body("twice-at-dhl"))).raise_for_status()
    for reference in ("twice", "twice-at-dhl"):
        assert len({one["tracking_number"] for one in await purchases(http, reference)}) == 2


@pytest.mark.parametrize("status", [400, 429, 500, 503])
async def test_fails_with_a_status_in_the_carriers_shape_for_as_many_calls_as_asked(http, fedex, dhl, status):
    await break_carrier(http, carrier="fedex", kind="status", status=status, times=2)
    answers = [await fedex.post("/ship/v1/shipments", json=fedex_body("status")) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [status, status, 200]
    assert answers[0].json()["errors"][0]["code"]
    assert ("retry-after" in answers[0].headers) == (status == 429)
    assert len(await purchases(http, "status")) == 1
    await break_carrier(http, carrier="dhl", kind="status", status=status)
    refused = await dhl.post("/orders", json=dhl_body("status-dhl"))
    assert (refused.status_code, refused.headers["content-type"]) == (status, "application/problem+json")
    assert refused.json()["status"] == status


async def test_one_carriers_fault_leaves_the_other_and_the_tokens_alone(http, fedex, dhl):
    await break_carrier(http, carrier="fedex", kind="status", times=None)
    assert (await dhl.post("/orders", json=dhl_body("unharmed"))).status_code == 200
    account = FedexAccount()
    form = {"grant_type": "client_credentials", "client_id": account.api_key, "client_secret": account.secret_key}
    assert (await http.post("/fedex/oauth/token", data=form)).status_code == 200
    assert (await fedex.post("/ship/v1/shipments", json=fedex_body("down"))).status_code == 503
    assert (await http.delete("/_control/faults", params={"carrier": "fedex"})).json() == {"ended": 1}
    assert (await fedex.post("/ship/v1/shipments", json=fedex_body("down"))).status_code == 200


async def test_a_fault_can_be_bound_to_operations(http, fedex):
    await break_carrier(http, kind="status", operations=["cancel"], times=None)
    sold = await fedex.post("/ship/v1/shipments", json=fedex_body("bound"))
    number = sold.json()["output"]["transactionShipments"][0]["masterTrackingNumber"]
    body = {"accountNumber": {"value": FedexAccount().account_number}, "trackingNumber": number}
    assert (await fedex.put("/ship/v1/shipments/cancel", json=body)).status_code == 503
    assert [one["status"] for one in await purchases(http, "bound")] == ["purchased"]


async def test_a_gateway_page_and_a_body_that_is_no_json(http, fedex):
    await break_carrier(http, kind="html")
    await break_carrier(http, kind="not_json")
    page = await fedex.post("/ship/v1/shipments", json=fedex_body("html"))
    assert (page.status_code, page.headers["content-type"]) == (502, "text/html")
    text = await fedex.post("/ship/v1/shipments", json=fedex_body("html"))
    assert text.status_code == 200
    with pytest.raises(ValueError, match="Expecting value"):
        text.json()
    assert await purchases(http, "html") == []


async def test_a_reset_connection_buys_nothing(http, fedex):
    await break_carrier(http, kind="reset")
    with pytest.raises(httpx.ReadError):
        await fedex.post("/ship/v1/shipments", json=fedex_body("reset"))
    assert await purchases(http, "reset") == []
    call = (await http.get("/_control/calls", params={"operation": "ship"})).json()[-1]
    assert (call["fault"], call["status"]) == ("reset", None)


async def test_a_hanging_carrier_buys_nothing(http, fedex):
    await break_carrier(http, kind="hang")
    with pytest.raises(httpx.ReadTimeout):
        await fedex.post("/ship/v1/shipments", json=fedex_body("hang"), timeout=0.2)
    assert await purchases(http, "hang") == []


@pytest.mark.parametrize(("ending", "error"), [("hang", httpx.ReadTimeout), ("reset", httpx.ReadError)])
async def test_a_lost_answer_leaves_a_label_bought(http, fedex, dhl, ending, error):
    await break_carrier(http, kind="lost_answer", ending=ending, times=2)
    with pytest.raises(error):
        await fedex.post("/ship/v1/shipments", json=fedex_body(f"lost-{ending}"), timeout=0.3)
    with pytest.raises(error):
        await dhl.post("/orders", json=dhl_body(f"lost-dhl-{ending}"), timeout=0.3)

    async def both_bought():
        found = [*await purchases(http, f"lost-{ending}"), *await purchases(http, f"lost-dhl-{ending}")]
        return sorted(one["carrier"] for one in found) == ["dhl", "fedex"]

    await eventually(both_bought)


async def test_latency_only_delays(http, fedex):
    await break_carrier(http, kind="latency", latency_ms=250)
    started = time.monotonic()
    assert (await fedex.post("/ship/v1/shipments", json=fedex_body("slow"))).status_code == 200
    assert time.monotonic() - started >= 0.25


async def test_calls_are_told_without_their_secrets(http, fedex):
    await fedex.post("/ship/v1/shipments", json=fedex_body("told"))
    calls = (await http.get("/_control/calls", params={"carrier": "fedex"})).json()
    assert calls[-1]["operation"] == "ship"
    assert "told" in calls[-1]["body"]
    assert calls[-1]["status"] == 200
    assert FedexAccount().secret_key not in str(calls)
    assert fedex.headers["authorization"] not in str(calls)


async def test_an_expired_or_wrong_token_is_401_in_both_shapes(http, fedex, dhl):
    (await http.post("/_control/tokens/expire")).raise_for_status()
    expired = await fedex.post("/ship/v1/shipments", json=fedex_body("401"))
    assert (expired.status_code, expired.json()["errors"][0]["code"]) == (401, "NOT.AUTHORIZED.ERROR")
    assert (await dhl.post("/orders", json=dhl_body("401-at-dhl"))).json()["status"] == 401
    form = {"grant_type": "client_credentials", "client_id": "who", "client_secret": "knows"}
    assert (await http.post("/fedex/oauth/token", data=form)).status_code == 401
    form = {"grant_type": "password", "username": "who", "password": "knows", "client_id": "x", "client_secret": "y"}
    assert (await http.post("/dhl/parcel/de/account/auth/ropc/v1/token", data=form)).status_code == 401
    assert await purchases(http, "401") == []


async def test_dhl_answers_207_when_only_some_are_sold(http, dhl):
    body = dhl_body("mixed-good")
    body["shipments"] += dhl_body("mixed-bad1", postalCode="1")["shipments"]
    answer = await dhl.post("/orders", json=body)
    assert answer.status_code == 207
    assert [item["sstatus"]["statusCode"] for item in answer.json()["items"]] == [200, 400]
    assert [one["reference"] for one in (await http.get("/_control/shipments")).json()] == ["mixed-good"]


async def test_dhl_validates_without_buying_and_refuses_the_unroutable_when_asked(http, dhl):
    body = dhl_body("not-routable", addressStreet="Am Feld")
    lenient = await dhl.post("/orders", json=body, params={"validate": "true"})
    assert lenient.status_code == 200
    assert lenient.json()["items"][0]["validationMessages"][0]["validationState"] == "Warning"
    strict = await dhl.post("/orders", json=body, params={"mustEncode": "true"})
    assert strict.status_code == 400
    assert (await http.get("/_control/shipments")).json() == []


async def test_dhl_closes_the_day(http, dhl):
    numbers = [
        (await dhl.post("/orders", json=dhl_body(f"day-close-{n}"))).json()["items"][0]["shipmentNo"] for n in range(2)
    ]
    again = await dhl.get("/orders", params={"shipment": numbers[0]})
    assert again.json()["items"][0]["label"]["b64"]
    closed = await dhl.post("/manifests", json={"profile": "STANDARD_GRUPPENPROFIL", "shipmentNumbers": numbers[:1]})
    assert closed.status_code == 200
    query = {"profile": "STANDARD_GRUPPENPROFIL", "shipment": numbers}
    assert (await dhl.delete("/orders", params=query)).status_code == 207
    assert (await dhl.get("/orders", params={"shipment": numbers[0]})).status_code == 404
    manifest = (await dhl.get("/manifests")).json()
    assert [item["shipmentNumber"] for item in manifest["items"]] == numbers[:1]
    assert (await http.get("/_control/summary")).json()["dhl"] == {"closed": 1, "voided": 1, "calls": 8}


async def test_of_racing_cancels_exactly_one_wins(fedex):
    sold = await fedex.post("/ship/v1/shipments", json=fedex_body("race"))
    number = sold.json()["output"]["transactionShipments"][0]["masterTrackingNumber"]
    body = {"accountNumber": {"value": FedexAccount().account_number}, "trackingNumber": number}
    answers = await asyncio.gather(*(fedex.put("/ship/v1/shipments/cancel", json=body) for _ in range(10)))
    assert sorted(answer.json()["output"]["cancelledShipment"] for answer in answers) == [False] * 9 + [True]


async def test_is_alive_and_ready(http):
    assert [(await http.get(f"/health/{which}")).status_code for which in ("live", "ready")] == [200, 200]
