"""Labels are bought and given back at both carriers; the carriers themselves are the witnesses."""

import asyncio

import pytest
from rappit_common.clock import new_id
from rappit_common.pagination import encode_cursor
from rappit_common.testing.waiting import eventually
from rappit_common.web.auth import Role

pytestmark = pytest.mark.server
BOTH = pytest.mark.parametrize("carrier", ["fedex", "dhl"])


@BOTH
async def test_buys_a_label_once_and_prints_it_again(merchant, double, carrier):
    order_id = await merchant.order()
    answer = await merchant.buy(carrier, order_id)
    assert answer.status_code == 201, answer.text
    shipment = answer.json()
    assert (shipment["status"], shipment["warehouse_code"]) == ("labelled", "BER")
    assert shipment["lines"] == [{"sku": "TEA", "quantity": 3}]
    [sold] = await double.sold(reference=shipment["reference"])
    assert sold["tracking_number"] == shipment["tracking_number"]
    prints = [await merchant.call("GET", f"/shipments/{shipment['id']}/label") for _ in range(2)]
    assert {printed.headers["content-type"] for printed in prints} == {"application/pdf"}
    assert prints[0].content == prints[1].content
    assert prints[0].content.startswith(b"%PDF")
    assert await double.calls(carrier) == 1
    if carrier == "fedex":
        assert shipment["cost"]["amount"] == sold["net_charge"]

    async def told():
        return merchant.told(shipment["id"]) == [(1, "labelled")]

    await eventually(told)


@BOTH
async def test_zpl_label_is_served_as_zpl(merchant, carrier):
    shipment = (await merchant.buy(carrier, await merchant.order(), label_format="zpl")).json()
    printed = await merchant.call("GET", f"/shipments/{shipment['id']}/label")
    assert printed.headers["content-type"].startswith("text/x-zpl")
    assert printed.content.startswith(b"^XA")


@BOTH
async def test_void_is_the_carriers_word_and_may_be_repeated(merchant, double, carrier):
    shipment = (await merchant.buy(carrier, await merchant.order())).json()
    voided = await merchant.void(shipment["id"])
    assert (voided.status_code, voided.json()["status"]) == (200, "voided"), voided.text
    [sold] = await double.sold(reference=shipment["reference"])
    assert sold["status"] == "voided"
    assert (await merchant.void(shipment["id"])).json()["voided_at"] == voided.json()["voided_at"]
    assert await double.calls(carrier, "cancel") == 1

    async def told():
        return merchant.told(shipment["id"]) == [(1, "labelled"), (2, "voided")]

    await eventually(told)


@BOTH
async def test_refused_void_keeps_the_label_and_says_the_carriers_words(merchant, double, carrier):
    shipment = (await merchant.buy(carrier, await merchant.order())).json()
    code = {"fedex": "PU", "dhl": "PCKDU"}[carrier]
    number = shipment["tracking_number"]
    (await double.http.post(f"/_control/shipments/{number}/scans", json={"code": code})).raise_for_status()
    refused = await merchant.void(shipment["id"])
    assert (refused.status_code, refused.json()["code"]) == (409, "void_refused")
    words = {
        "fedex": "The shipment was handed over and cannot be cancelled any more.",
        "dhl": "The shipment is unknown, deleted before, or closed.",
    }
    assert refused.json()["detail"] == words[carrier]
    assert (await merchant.shipment(shipment["id"]))["status"] == "labelled"


@BOTH
async def test_refused_purchase_says_the_carriers_words_and_may_be_tried_again(merchant, double, carrier):
    parcel = {"weight_kg": "99"}
    order_id = await merchant.order()
    refused = await merchant.buy(carrier, order_id, parcels=[parcel])
    assert (refused.status_code, refused.json()["code"]) == (422, "carrier_refused")
    words = {
        "fedex": "Package weight exceeds the limit of 68 kg.",
        "dhl": "details.weight: The weight exceeds the limit of 31.5 kg.",
    }
    assert refused.json()["detail"] == words[carrier]
    assert (await merchant.shipment(refused.json()["shipment_id"]))["status"] == "failed"
    assert (await merchant.buy(carrier, order_id)).status_code == 201


async def test_several_pieces_are_one_document_under_one_number(merchant, double):
    parcels = [{"weight_kg": "1"}, {"weight_kg": "2"}]
    shipment = (await merchant.buy("fedex", await merchant.order(), parcels=parcels)).json()
    [sold] = await double.sold(reference=shipment["reference"])
    assert shipment["piece_numbers"] == sold["pieces"]
    printed = await merchant.call("GET", f"/shipments/{shipment['id']}/label")
    assert printed.content.startswith(b"%PDF")
    too_many = await merchant.buy("dhl", await merchant.order(), parcels=parcels)
    assert (too_many.status_code, too_many.json()["code"]) == (422, "unshippable")
    assert await double.calls("dhl") == 0


async def test_one_key_ten_times_at_once_buys_one_label(merchant, double):
    order_id = await merchant.order()
    await double.fail("fedex", "latency", latency_ms=200)
    answers = await asyncio.gather(*(merchant.buy("fedex", order_id, key="k-1") for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [201] + [202] * 9
    assert len({answer.json()["id"] for answer in answers}) == 1
    again = await merchant.buy("fedex", order_id, key="k-1")
    assert (again.status_code, again.headers["idempotent-replayed"]) == (200, "true")
    assert again.json()["status"] == "labelled"
    assert await double.calls("fedex") == 1
    other = await merchant.buy("fedex", order_id, key="k-1", label_format="zpl")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")


async def test_one_key_for_two_orders_at_once_buys_one_label(merchant, double):
    orders = [await merchant.order() for _ in range(2)]
    answers = await asyncio.gather(*(merchant.buy("dhl", order_id, key="k-2") for order_id in orders))
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    assert await double.calls("dhl") == 1


async def test_ten_purchases_at_once_without_a_key_buy_one_label_for_an_order(merchant, double):
    order_id = await merchant.order()
    answers = await asyncio.gather(*(merchant.buy("dhl", order_id) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9
    assert {answer.json().get("code") for answer in answers} == {None, "already_labelled"}
    assert len(await double.sold(carrier="dhl")) == 1


async def test_additional_label_carries_what_is_left(merchant):
    order_id = await merchant.order()
    await merchant.buy("dhl", order_id)
    second = await merchant.buy("dhl", order_id, additional=True)
    assert (second.status_code, second.json()["lines"]) == (201, [])


async def test_order_that_has_only_a_part_of_its_units_is_given_no_label(merchant, double):
    part = [{"sku": "TEA", "warehouse_code": "BER", "quantity": 1}]
    order_id = await merchant.order("backordered", allocations=part)
    for more in ({}, {"warehouse_code": "BER"}, {"additional": True}):
        refused = await merchant.buy("dhl", order_id, **more)
        assert (refused.status_code, refused.json()["code"]) == (409, "order_not_shippable")
        assert refused.json()["detail"] == "Order #1001 is backordered: it waits for stock."
    assert await double.calls("dhl") == 0


async def test_order_in_two_warehouses_is_shipped_from_each(merchant):
    order_id = await merchant.order(
        allocations=[
            {"sku": "TEA", "warehouse_code": "BER", "quantity": 2},
            {"sku": "CUP", "warehouse_code": "HAM", "quantity": 1},
        ]
    )
    unnamed = await merchant.buy("dhl", order_id)
    assert (unnamed.status_code, unnamed.json()["warehouses"]) == (409, ["BER", "HAM"])
    first = await merchant.buy("dhl", order_id, warehouse_code="HAM")
    second = await merchant.buy("dhl", order_id, additional=True)
    assert [answer.json()["warehouse_code"] for answer in (first, second)] == ["HAM", "BER"]
    assert [answer.json()["lines"] for answer in (first, second)] == [
        [{"sku": "CUP", "quantity": 1}],
        [{"sku": "TEA", "quantity": 2}],
    ]


async def test_only_reserved_orders_are_given_labels(merchant, double):
    backordered = await merchant.buy("dhl", await merchant.order("backordered"))
    assert (backordered.status_code, backordered.json()["code"]) == (409, "order_not_shippable")
    assert backordered.json()["detail"] == "Order #1001 is backordered: it waits for stock."
    unknown = await merchant.buy("dhl", str(new_id()))
    assert (unknown.status_code, unknown.json()["code"]) == (409, "order_unknown")
    nowhere = await merchant.buy("dhl", await merchant.order(shipping_address=None))
    assert nowhere.json()["missing"] == ["recipient's name", "street", "city", "country"]
    assert await double.calls("dhl") == 0


async def test_order_is_followed_by_its_newest_state_only(merchant):
    order_id = await merchant.order("cancelled", state_version=7)
    await merchant.tell(
        {
            "organization_id": str(merchant.organization_id),
            "order_id": order_id,
            "state_version": 3,
            "number": "#1001",
            "state": "reserved",
            "updated_at": "2026-03-02T10:00:00Z",
        }
    )
    later = await merchant.order()
    assert (await merchant.buy("dhl", later)).status_code == 201
    refused = await merchant.buy("dhl", order_id)
    assert refused.json()["order_state"] == "cancelled"


async def test_other_merchants_see_and_do_nothing(merchant, shipping, double):
    shipment = (await merchant.buy("dhl", await merchant.order())).json()
    stranger = type(merchant)(shipping)
    path = f"/shipments/{shipment['id']}"
    for method, where in (("GET", path), ("GET", f"{path}/label"), ("POST", f"{path}/void")):
        answer = await stranger.call(method, where)
        assert (answer.status_code, answer.json()["code"]) == (404, "shipment_not_found")
    assert (await stranger.call("GET", "/shipments")).json()["items"] == []
    assert (await stranger.call("GET", "/carrier-accounts")).json()["items"] == []
    stranger.accounts = merchant.accounts
    foreign = await stranger.buy("dhl", await stranger.order())
    assert (foreign.status_code, foreign.json()["code"]) == (404, "carrier_account_not_found")
    assert len(await double.sold()) == 1


async def test_credentials_are_checked_encrypted_and_never_told(merchant, shipping):
    missing = await merchant.connect("fedex", name="Half", credentials={"client_id": "x"})
    assert (missing.status_code, missing.json()["missing"]) == (422, ["client_secret", "account_number"])
    taken = await merchant.connect("fedex")
    assert (taken.status_code, taken.json()["code"]) == (409, "carrier_account_exists")
    nobody = await merchant.connect("fedex", carrier="ups", name="UPS")
    assert (nobody.status_code, nobody.json()["code"]) == (422, "unknown_carrier")
    listed = await merchant.call("GET", "/carrier-accounts")
    assert {account["name"] for account in listed.json()["items"]} == {"My fedex", "My dhl"}
    assert "double-fedex-secret" not in listed.text
    async with shipping.runtime.units.begin(merchant.organization_id) as unit:
        stored = [account.credentials for account in await unit.accounts.page(10, None)]
    assert not any(b"double" in secret for secret in stored)


async def test_wrong_credentials_are_the_carriers_refusal(merchant, double):
    wrong = {"client_id": "no", "client_secret": "no", "account_number": "1"}
    merchant.accounts["fedex"] = (await merchant.connect("fedex", name="Wrong", credentials=wrong)).json()["id"]
    refused = await merchant.buy("fedex", await merchant.order())
    assert (refused.status_code, refused.json()["code"]) == (422, "carrier_refused")
    assert "The given client credentials were not valid." in refused.json()["detail"]


async def test_expired_token_is_renewed_once_and_unseen(merchant, double):
    assert (await merchant.buy("fedex", await merchant.order())).status_code == 201
    await double.http.post("/_control/tokens/expire")
    assert (await merchant.buy("fedex", await merchant.order())).status_code == 201
    assert len(await double.sold(carrier="fedex")) == 2


async def test_pages_are_bounded_and_filtered(merchant):
    orders = [await merchant.order() for _ in range(3)]
    bought = [(await merchant.buy("dhl", order_id)).json()["id"] for order_id in orders]
    first = (await merchant.call("GET", "/shipments", params={"limit": 2})).json()
    second = (await merchant.call("GET", "/shipments", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [item["id"] for item in first["items"] + second["items"]] == bought[::-1]
    assert second["next_cursor"] is None
    one = (await merchant.call("GET", "/shipments", params={"order_id": orders[0]})).json()["items"]
    assert [item["id"] for item in one] == bought[:1]


@pytest.mark.parametrize("path", ["/shipments", "/carrier-accounts"])
@pytest.mark.parametrize("cursor", ["nonsense", encode_cursor("no uuid"), encode_cursor(7), encode_cursor("\0")])
async def test_cursor_of_another_list_is_refused(merchant, path, cursor):
    answer = await merchant.call("GET", path, params={"cursor": cursor})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_cursor")


async def test_documents_declare_every_refusal(merchant):
    paths = (await merchant.call("GET", "/openapi.json")).json()["paths"]
    ours = [(path, how) for path, hows in paths.items() if "/ops/" not in path for how in hows.values()]
    assert [path for path, how in ours if not {"401", "403"} <= set(how["responses"])] == []
    assert "invalid_cursor" in paths["/shipping/shipments"]["get"]["responses"]["422"]["description"]


async def test_viewers_look_and_staff_buy(merchant):
    assert (await merchant.call("GET", "/shipments", role=Role.VIEWER)).status_code == 200
    refused = await merchant.call("POST", "/shipments", role=Role.VIEWER, json={})
    assert refused.status_code == 403
    refused = await merchant.call("POST", "/carrier-accounts", role=Role.STAFF, json={})
    assert refused.status_code == 403
