"""Requests built by Karrio are accepted, and the answers are read back by Karrio: the doubles speak what it speaks."""

import base64
import io
import ssl
import warnings

import pytest
from rappit_doubles.carriers import FedexAccount
from rappit_doubles.carriers.numbers import dhl_check_digit, fedex_check_digit

FEDEX = FedexAccount()
SHIPPER = {
    "person_name": "Ada Packer",
    "company_name": "Rappit Test GmbH",
    "address_line1": "Lagerstraße 12",
    "city": "Köln",
    "postal_code": "50667",
    "country_code": "DE",
    "phone_number": "+49 221 555010",
    "email": "lager@example.com",
}
RECIPIENT = {
    "person_name": "Jörg Käufer",
    "address_line1": "Hauptstraße 5",
    "city": "Berlin",
    "postal_code": "10115",
    "country_code": "DE",
    "phone_number": "+49 30 555020",
    "email": "joerg@example.com",
}
AMERICAN_SHIPPER = SHIPPER | {
    "address_line1": "12 Dock Street",
    "city": "Memphis",
    "state_code": "TN",
    "postal_code": "38116",
    "country_code": "US",
}
AMERICAN_RECIPIENT = RECIPIENT | {
    "address_line1": "5 Main Street",
    "city": "Austin",
    "state_code": "TX",
    "postal_code": "78701",
    "country_code": "US",
}
PARCEL = {"weight": 2.4, "weight_unit": "KG", "length": 30, "width": 20, "height": 10, "dimension_unit": "CM"}


def read_pdf(encoded):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import PyPDF2  # noqa: PLC0415 - warns of its own deprecation when imported
    pages = PyPDF2.PdfReader(io.BytesIO(base64.b64decode(encoded))).pages
    return "\n".join(page.extract_text() for page in pages)


def fedex_order(karrio, *, reference="rp-0001", label_type="PDF", parcels=1, **changes):
    asked = {
        "service": "fedex_ground",
        "shipper": AMERICAN_SHIPPER,
        "recipient": AMERICAN_RECIPIENT,
        "parcels": [PARCEL] * parcels,
        "payment": {"paid_by": "sender"},
        "reference": reference,
        "label_type": label_type,
    }
    return karrio.lib.to_object(karrio.models.ShipmentRequest, asked | changes)


def dhl_order(karrio, *, reference="rp-order-0001", label_type="PDF", parcels=1, **changes):
    asked = {
        "service": "dhl_parcel_de_paket",
        "shipper": SHIPPER,
        "recipient": RECIPIENT,
        "parcels": [PARCEL] * parcels,
        "payment": {"paid_by": "sender"},
        "reference": reference,
        "label_type": label_type,
    }
    return karrio.lib.to_object(karrio.models.ShipmentRequest, asked | changes)


async def buy_fedex(karrio, fedex, **changes):
    request = karrio.fedex.create_shipment_request(fedex_order(karrio, **changes))
    answer = await fedex.post("/ship/v1/shipments", json=request.serialize())
    parsed = karrio.fedex.parse_shipment_response(
        karrio.lib.Deserializable(answer.json(), karrio.lib.to_dict, request.ctx)
    )
    return answer, *parsed


async def buy_dhl(karrio, dhl, **changes):
    request = karrio.dhl.create_shipment_request(dhl_order(karrio, **changes))
    query = {name: value for name, value in request.ctx.items() if name != "_meta"}
    answer = await dhl.post("/orders", json=request.serialize(), params=query)
    parsed = karrio.dhl.parse_shipment_response(
        karrio.lib.Deserializable(answer.json(), karrio.lib.to_dict, request.ctx["_meta"])
    )
    return answer, *parsed


def test_karrio_leaves_tls_verification_on(karrio):
    assert ssl._create_default_https_context().verify_mode == ssl.CERT_REQUIRED


async def test_fedex_sells_a_pdf_label_with_a_charge(karrio, fedex):
    answer, details, messages = await buy_fedex(karrio, fedex)
    assert messages == []
    number = details.tracking_number
    assert len(number) == 12
    assert fedex_check_digit(number[:-1]) == int(number[-1])
    printed = read_pdf(details.docs.label)
    assert number in printed
    assert "5 Main Street" in printed
    assert "rp-0001" in printed
    piece = answer.json()["output"]["transactionShipments"][0]["pieceResponses"][0]
    # 9.20 + 3 started kg at 0.85 is 11.75; 15 % off is 9.99; 12 % fuel is 1.20.
    assert (piece["netChargeAmount"], piece["currency"]) == (11.19, "USD")


async def test_fedex_sells_zpl_when_asked(karrio, fedex):
    _, details, _ = await buy_fedex(karrio, fedex, label_type="ZPL")
    zpl = base64.b64decode(details.docs.label).decode()
    assert zpl.startswith("^XA")
    assert zpl.strip().endswith("^XZ")
    assert f"^FD{details.tracking_number}^FS" in zpl


async def test_fedex_sells_several_pieces_under_one_master(karrio, fedex):
    answer, details, _ = await buy_fedex(karrio, fedex, parcels=3)
    pieces = [piece["trackingNumber"] for piece in answer.json()["output"]["transactionShipments"][0]["pieceResponses"]]
    assert pieces[0] == details.tracking_number
    assert len(set(pieces)) == 3
    assert all(number in read_pdf(details.docs.label) for number in pieces)


async def test_fedex_refuses_what_it_cannot_ship_in_its_own_words(karrio, fedex):
    answer, details, messages = await buy_fedex(karrio, fedex, recipient=AMERICAN_RECIPIENT | {"state_code": None})
    assert answer.status_code == 400
    assert details is None
    assert [message.code for message in messages] == ["STATEORPROVINCECODE.REQUIRED"]


async def test_fedex_cancels_once(karrio, fedex):
    _, details, _ = await buy_fedex(karrio, fedex)
    request = karrio.fedex.create_cancel_shipment_request(
        karrio.models.ShipmentCancelRequest(shipment_identifier=details.tracking_number)
    )
    confirmed, again = [
        karrio.fedex.parse_cancel_shipment_response(
            karrio.lib.Deserializable((await fedex.put("/ship/v1/shipments/cancel", json=request.serialize())).json())
        )
        for _ in range(2)
    ]
    assert confirmed[0].success is True
    assert confirmed[1] == []
    assert again[0] is None
    assert [message.code for message in again[1]] == ["SHIPMENT.ALREADY.CANCELLED"]


async def test_fedex_does_not_cancel_what_is_unknown_or_tendered(karrio, fedex, http):
    _, details, _ = await buy_fedex(karrio, fedex)
    (await http.post(f"/_control/shipments/{details.tracking_number}/scans", json={"code": "PU"})).raise_for_status()
    for number, code in (
        (details.tracking_number, "SHIPMENT.ALREADY.TENDERED"),
        ("794953555571", "TRACKINGNUMBER.NOT.FOUND"),
    ):
        body = {"accountNumber": {"value": FEDEX.account_number}, "trackingNumber": number}
        answer = await fedex.put("/ship/v1/shipments/cancel", json=body)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, code)


async def test_fedex_quotes_rates(karrio, fedex):
    request = karrio.fedex.create_rate_request(
        karrio.lib.to_object(
            karrio.models.RateRequest,
            {"shipper": AMERICAN_SHIPPER, "recipient": AMERICAN_RECIPIENT, "parcels": [PARCEL]},
        )
    )
    answer = await fedex.post("/rate/v1/rates/quotes", json=request.serialize())
    rates, messages = karrio.fedex.parse_rate_response(
        karrio.lib.Deserializable(answer.json(), karrio.lib.to_dict, request.ctx)
    )
    assert messages == []
    quoted = {rate.service: (rate.total_charge, rate.currency) for rate in rates}
    assert quoted["fedex_ground"] == (11.19, "USD")
    assert quoted["fedex_priority_overnight"][0] > quoted["fedex_2_day"][0]


async def test_fedex_tracks_by_number(karrio, fedex, http):
    _, details, _ = await buy_fedex(karrio, fedex)
    for code in ("PU", "IT", "OD"):
        await http.post(f"/_control/shipments/{details.tracking_number}/scans", json={"code": code})
    request = karrio.fedex.create_tracking_request(
        karrio.models.TrackingRequest(tracking_numbers=[details.tracking_number, "794953555571"])
    )
    answer = await fedex.post("/track/v1/trackingnumbers", json=request.serialize())
    tracked, messages = karrio.fedex.parse_tracking_response(karrio.lib.Deserializable(answer.json()))
    assert [(one.tracking_number, one.status, len(one.events)) for one in tracked] == [
        (details.tracking_number, "out_for_delivery", 4)
    ]
    assert [message.code for message in messages] == ["TRACKING.TRACKINGNUMBER.NOTFOUND"]


async def test_fedex_finds_a_purchase_by_reference(karrio, fedex):
    _, details, _ = await buy_fedex(karrio, fedex, reference="rp-find-me")
    asked = {"referencesInformation": {"value": "rp-find-me", "accountNumber": FEDEX.account_number}}
    found = (await fedex.post("/track/v1/referencenumbers", json=asked)).json()["output"]["completeTrackResults"]
    assert [result["trackingNumber"] for result in found] == [details.tracking_number]
    asked["referencesInformation"]["value"] = "rp-never-sent"
    missing = (await fedex.post("/track/v1/referencenumbers", json=asked)).json()["output"]["completeTrackResults"]
    assert missing[0]["trackResults"][0]["error"]["code"] == "TRACKING.REFERENCENUMBER.NOTFOUND"


async def test_dhl_sells_a_pdf_label(karrio, dhl):
    answer, details, messages = await buy_dhl(karrio, dhl)
    assert (answer.status_code, messages) == (200, [])
    number = details.tracking_number
    assert len(number) == 20
    assert dhl_check_digit(number[:-1]) == int(number[-1])
    printed = read_pdf(details.docs.label)
    assert number in printed
    assert "Jörg Käufer" in printed
    assert details.meta["shipmentRefNo"] == "rp-order-0001"


async def test_dhl_sells_zpl_when_asked(karrio, dhl):
    _, details, _ = await buy_dhl(karrio, dhl, label_type="ZPL2_910_300_700")
    assert details.label_type == "ZPL"
    assert details.docs.label.startswith("^XA")


@pytest.mark.parametrize(
    ("recipient", "property_"),
    [
        (RECIPIENT | {"postal_code": "1011"}, "consignee.postalCode"),
        (RECIPIENT | {"city": None}, "consignee.city"),
        (RECIPIENT | {"country_code": "US", "state_code": "TX", "postal_code": "78701"}, "customs"),
    ],
)
async def test_dhl_refuses_what_it_cannot_ship_in_its_own_words(karrio, dhl, recipient, property_):
    answer, details, messages = await buy_dhl(karrio, dhl, recipient=recipient)
    assert (answer.status_code, details) == (400, None)
    assert property_ in {message.details.get("property") for message in messages}


async def test_dhl_deletes_once(karrio, dhl):
    _, details, _ = await buy_dhl(karrio, dhl)
    request = karrio.dhl.create_cancel_shipment_request(
        karrio.models.ShipmentCancelRequest(shipment_identifier=details.tracking_number)
    )
    first = await dhl.delete("/orders", params=request.serialize())
    second = await dhl.delete("/orders", params=request.serialize())
    assert (first.status_code, second.status_code) == (200, 400)
    confirmation, messages = karrio.dhl.parse_cancel_shipment_response(karrio.lib.Deserializable(first.json()))
    assert (confirmation.success, messages) == (True, [])
    confirmation, messages = karrio.dhl.parse_cancel_shipment_response(karrio.lib.Deserializable(second.json()))
    assert confirmation is None
    assert messages[0].code == "400"


async def test_dhl_tracks_by_number_and_by_reference(karrio, dhl, http):
    _, details, _ = await buy_dhl(karrio, dhl, reference="rp-track-0001")
    await http.post(f"/_control/shipments/{details.tracking_number}/scans", json={"code": "DLVRD"})
    request = karrio.dhl.create_tracking_request(
        karrio.models.TrackingRequest(tracking_numbers=[details.tracking_number])
    )
    app = (karrio.dhl.settings.client_id, karrio.dhl.settings.client_secret)
    by_reference = '<data request="d-get-piece-detail" piece-customer-reference="rp-track-0001"/>'
    for xml in (request.serialize()[0], by_reference):
        answer = await http.get("/dhl/parcel/de/tracking/v0/shipments", params={"xml": xml}, auth=app)
        tracked, messages = karrio.dhl.parse_tracking_response(
            karrio.lib.Deserializable([karrio.lib.to_element(answer.text)])
        )
        assert messages == []
        assert [(one.tracking_number, one.status) for one in tracked] == [(details.tracking_number, "delivered")]
