"""The carrier port's promises, held by every carrier at its double over real HTTP."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio
from rappit_common.clock import new_id
from rappit_shipping.carriers.dhl import DhlCarrier
from rappit_shipping.carriers.fedex import FedexCarrier
from rappit_shipping.carriers.transport import CarrierHttp, Timeouts
from rappit_shipping.domain.carrier import (
    Address,
    Carrier,
    InvalidCredentialsError,
    LabelFormat,
    LabelOrder,
    LabelUnreadableError,
    NotSent,
    OutcomeUnknown,
    Parcel,
    Refused,
    UnsupportedByCarrierError,
    VoidState,
)
from rappit_shipping.domain.shipments import reference_of

SHIPPER = Address(
    "Ada", "Rappit GmbH", "Lagerstraße 12", None, "Köln", None, "50667", "DE", "+49 221 555010", "a@example.com"
)
RECIPIENT = Address("Jörg Käufer", None, "Hauptstraße 5", None, "Berlin", None, "10115", "DE", None, None)
NOON = datetime(2026, 3, 2, 11, tzinfo=UTC)
KINDS = {"fedex": FedexCarrier, "dhl": DhlCarrier}


@dataclass
class Case:
    carrier: Carrier
    credentials: dict[str, str]
    http: CarrierHttp

    def order(self, **changes: Any) -> LabelOrder:
        order = LabelOrder(
            reference=reference_of(new_id()),
            service=None,
            shipper=SHIPPER,
            recipient=RECIPIENT,
            parcels=(Parcel(Decimal("1.5"), Decimal(30), Decimal(20), Decimal(10)),),
            label_format=LabelFormat.PDF,
        )
        return replace(order, **changes)

    async def buy(self, **changes: Any):
        return await self.carrier.buy_label(self.credentials, self.order(**changes))


@pytest_asyncio.fixture(params=list(KINDS), loop_scope="session")
async def case(request, carriers_url, double, carrier_credentials):
    kind = KINDS[request.param]
    http = CarrierHttp(kind.name, f"{carriers_url}/{request.param}", Timeouts(1, 0.4, 1), connections=5)
    yield Case(kind(http), carrier_credentials[request.param], http)
    await http.close()


@pytest.mark.parametrize("label_format", list(LabelFormat))
async def test_sells_a_label_that_can_be_read(case, double, label_format):
    order = case.order(label_format=label_format)
    purchase = await case.carrier.buy_label(case.credentials, order)
    [sold] = await double.sold(reference=order.reference)
    assert (purchase.tracking_number, list(purchase.piece_numbers)) == (sold["tracking_number"], sold["pieces"])
    label = case.carrier.read_label(purchase.raw, label_format)
    start, media_type = {"pdf": (b"%PDF", "application/pdf"), "zpl": (b"^XA", "text/x-zpl")}[label_format]
    assert (label.content[: len(start)], label.media_type) == (start, media_type)


async def test_price_is_told_when_the_carrier_names_one(case, double):
    purchase = await case.buy()
    [sold] = await double.sold(carrier=case.carrier.code)
    told = None if purchase.cost is None else (purchase.cost.amount, purchase.cost.currency)
    assert told == (None if sold["net_charge"] is None else (Decimal(sold["net_charge"]), sold["currency"]))


async def test_refuses_in_the_carriers_words(case):
    with pytest.raises(Refused, match=r"limit of \d+"):
        await case.buy(parcels=(Parcel(Decimal(99)),))


async def test_voids_once(case):
    purchase = await case.buy()
    await case.carrier.void(case.credentials, purchase.tracking_number)
    with pytest.raises(Refused):
        await case.carrier.void(case.credentials, purchase.tracking_number)


async def test_tells_what_became_of_a_void(case):
    purchase = await case.buy()

    async def state():
        return await case.carrier.void_state(
            case.credentials, purchase.tracking_number, bought_at=NOON, now=NOON.replace(minute=5)
        )

    assert await state() is VoidState.LIVE
    await case.carrier.void(case.credentials, purchase.tracking_number)
    assert await state() is VoidState.VOIDED


async def test_finds_a_purchase_by_reference_or_says_that_it_cannot(case):
    order = case.order()
    if not case.carrier.can_find:
        with pytest.raises(UnsupportedByCarrierError):
            await case.carrier.find(case.credentials, order.reference)
        return
    assert await case.carrier.find(case.credentials, order.reference) is None
    purchase = await case.carrier.buy_label(case.credentials, order)
    found = await case.carrier.find(case.credentials, order.reference)
    assert (found.tracking_number, found.is_voided) == (purchase.tracking_number, False)
    await case.carrier.void(case.credentials, purchase.tracking_number)
    assert (await case.carrier.find(case.credentials, order.reference)).is_voided


@pytest.mark.parametrize(
    ("fault", "ending"),
    [
        ({"kind": "status", "status": 503}, OutcomeUnknown),
        ({"kind": "status", "status": 500}, OutcomeUnknown),
        ({"kind": "html"}, OutcomeUnknown),
        ({"kind": "not_json"}, OutcomeUnknown),
        ({"kind": "reset"}, OutcomeUnknown),
        ({"kind": "hang"}, OutcomeUnknown),
        ({"kind": "lost_answer"}, OutcomeUnknown),
        ({"kind": "status", "status": 429}, NotSent),
        ({"kind": "status", "status": 400}, Refused),
        ({"kind": "status", "status": 403}, Refused),
        ({"kind": "status", "status": 503, "operations": ["token"]}, NotSent),
        ({"kind": "hang", "operations": ["token"]}, NotSent),
    ],
    ids=str,
)
async def test_every_failure_ends_in_one_of_the_ways(case, double, fault, ending):
    await double.fail(case.carrier.code, **fault)
    with pytest.raises(ending):
        await case.buy()
    assert len(await double.sold(carrier=case.carrier.code)) == (1 if fault["kind"] == "lost_answer" else 0)


async def test_unreachable_carrier_was_sent_nothing(case):
    case.http.base_url = "http://127.0.0.1:9"
    with pytest.raises(NotSent, match="nothing was sent"):
        await case.buy()


async def test_one_sign_in_serves_many_calls_and_a_401_is_met_with_one_more(case, double):
    for _ in range(3):
        await case.buy()
    assert await double.calls(case.carrier.code, "token") == 1
    await double.http.post("/_control/tokens/expire")
    await case.buy()
    assert await double.calls(case.carrier.code, "token") == 2
    await double.fail(case.carrier.code, "status", status=401, times=2)
    with pytest.raises(Refused):
        await case.buy()
    assert await double.calls(case.carrier.code, "token") == 3


async def test_answer_without_a_label_is_unreadable_and_not_fetched_elsewhere(case):
    link = {"url": "http://127.0.0.1:9/label"}
    raw = {
        "output": {"transactionShipments": [{"pieceResponses": [{"packageDocuments": [link]}]}]},
        "items": [{"sstatus": {"statusCode": 200}, "label": link}],
    }
    for answer in (raw, {}):
        with pytest.raises(LabelUnreadableError):
            case.carrier.read_label(answer, LabelFormat.PDF)


async def test_every_credential_is_needed_and_no_other(case):
    for name in case.credentials:
        with pytest.raises(InvalidCredentialsError, match=name):
            case.carrier.check_credentials({**case.credentials, name: " "})
    with pytest.raises(InvalidCredentialsError, match="pin"):
        case.carrier.check_credentials({**case.credentials, "pin": "1"})
    assert case.carrier.check_credentials(case.credentials) == case.credentials
