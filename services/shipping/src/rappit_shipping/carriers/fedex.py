"""FedEx REST: OAuth with client credentials, Ship v1, Track v1."""

import base64
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from http import HTTPStatus
from typing import Any, ClassVar

from rappit_shipping.carriers import karrio_seam
from rappit_shipping.carriers.checks import required, too_many_parcels
from rappit_shipping.carriers.transport import Answer, CarrierHttp, SignedHttp, TokenCache
from rappit_shipping.carriers.trees import at, rows, text
from rappit_shipping.domain.carrier import (
    MEDIA_TYPES,
    Credentials,
    Found,
    Label,
    LabelFormat,
    LabelOrder,
    LabelUnreadableError,
    Money,
    OutcomeUnknown,
    Purchase,
    Refused,
    UnshippableError,
    VoidState,
)

MAX_PARCELS = 30
GROUND_COUNTRIES = frozenset({"US", "CA"})
EUROPE = frozenset(
    {
        "AT",
        "BE",
        "BG",
        "CH",
        "CZ",
        "DE",
        "DK",
        "EE",
        "ES",
        "FI",
        "FR",
        "GB",
        "GR",
        "HR",
        "HU",
        "IE",
        "IT",
        "LT",
        "LU",
        "LV",
        "NL",
        "NO",
        "PL",
        "PT",
        "RO",
        "SE",
        "SI",
        "SK",
    }
)
CANCELLED = "CA"


class FedexCarrier:
    """FedEx behind the carrier port."""

    code = "fedex"
    name = "FedEx"
    can_void = True
    can_find = True
    fields: ClassVar[dict[str, str]] = {
        "client_id": "the API key of the FedEx developer project",
        "client_secret": "the secret key of the FedEx developer project",
        "account_number": "the 9 digit FedEx shipping account number",
    }

    def __init__(self, http: CarrierHttp) -> None:
        self._http = SignedHttp(http, TokenCache(http, "/oauth/token"))
        self._base_url = http.base_url

    def check_credentials(self, credentials: Credentials) -> dict[str, str]:
        """See the port."""
        return required(self.name, credentials, self.fields)

    async def buy_label(self, credentials: Credentials, order: LabelOrder) -> Purchase:
        """See the port. ``POST /ship/v1/shipments``."""
        too_many_parcels(self.name, order, MAX_PARCELS)
        body = self._shipment_body(credentials, order)
        answer = await self._send(credentials, "POST", "/ship/v1/shipments", json=body)
        return _purchase(self._accepted(credentials, answer))

    def _shipment_body(self, credentials: Credentials, order: LabelOrder) -> dict[str, Any]:
        mapper = karrio_seam.fedex_mapper(credentials, self._base_url)
        unified = karrio_seam.shipment_request(
            order, service=order.service or default_service(order), label_type=order.label_format.value.upper()
        )
        try:
            body: dict[str, Any] = mapper.create_shipment_request(unified).serialize()
        except Exception as error:
            raise UnshippableError(f"The request cannot be written for FedEx: {error}") from error
        if order.shipper.country_code == order.recipient.country_code:
            # Karrio asks for a commercial invoice even where there is no border.
            body["requestedShipment"].pop("shippingDocumentSpecification", None)
        return body

    def read_label(self, raw: Mapping[str, Any], label_format: LabelFormat) -> Label:
        """See the port. Several pieces' labels are bundled into one document."""
        documents = [
            document
            for piece in rows(raw, "output", "transactionShipments", 0, "pieceResponses")
            for document in rows(piece, "packageDocuments")
        ]
        # A document without content would make Karrio fetch it over its own transport.
        if not documents or not all(text(document, "encodedLabel") for document in documents):
            raise LabelUnreadableError("FedEx's answer holds no label.")
        mapper = karrio_seam.fedex_mapper(dict.fromkeys(self.fields, ""), self._base_url)
        try:
            details, _ = karrio_seam.parsed(mapper.parse_shipment_response, raw, {})
            content = base64.b64decode(details.docs.label, validate=False)
        except Exception as error:
            raise LabelUnreadableError(f"FedEx's label cannot be read: {error}") from error
        return Label(content, MEDIA_TYPES[label_format])

    async def void(self, credentials: Credentials, tracking_number: str) -> None:
        """See the port. ``PUT /ship/v1/shipments/cancel``: only ``cancelledShipment`` true is a success."""
        mapper = karrio_seam.fedex_mapper(credentials, self._base_url)
        body = mapper.create_cancel_shipment_request(karrio_seam.cancel_request(tracking_number)).serialize()
        answer = await self._send(credentials, "PUT", "/ship/v1/shipments/cancel", json=body)
        accepted = self._accepted(credentials, answer)
        if at(accepted, "output", "cancelledShipment") is not True:
            _, messages = karrio_seam.parsed(mapper.parse_cancel_shipment_response, accepted)
            detail = karrio_seam.sentence(messages) or "FedEx did not cancel the shipment and gave no reason."
            raise Refused(detail, status=answer.status, raw=accepted)

    async def find(self, credentials: Credentials, reference: str) -> Found | None:
        """See the port. ``POST /track/v1/referencenumbers``."""
        asked = {"value": reference, "accountNumber": credentials["account_number"]}
        body = {"referencesInformation": asked, "includeDetailedScans": False}
        answer = await self._send(credentials, "POST", "/track/v1/referencenumbers", json=body)
        accepted = self._accepted(credentials, answer)
        for result in rows(accepted, "output", "completeTrackResults"):
            number = text(result, "trackingNumber")
            known = rows(result, "trackResults")
            if number and known and at(known[0], "error") is None:
                return Found(number, text(known[0], "latestStatusDetail", "code") == CANCELLED)
        return None

    async def void_state(
        self, credentials: Credentials, tracking_number: str, *, bought_at: datetime, now: datetime
    ) -> VoidState:
        """See the port. ``POST /track/v1/trackingnumbers``."""
        del bought_at, now
        body = {
            "trackingInfo": [{"trackingNumberInfo": {"trackingNumber": tracking_number}}],
            "includeDetailedScans": False,
        }
        answer = await self._send(credentials, "POST", "/track/v1/trackingnumbers", json=body)
        accepted = self._accepted(credentials, answer)
        code = text(accepted, "output", "completeTrackResults", 0, "trackResults", 0, "latestStatusDetail", "code")
        if not code:
            return VoidState.UNCLEAR
        return VoidState.VOIDED if code == CANCELLED else VoidState.LIVE

    async def _send(self, credentials: Credentials, method: str, path: str, **request: Any) -> Answer:
        form = {
            "grant_type": "client_credentials",
            "client_id": credentials["client_id"],
            "client_secret": credentials["client_secret"],
        }
        return await self._http.send(form, method, path, headers={"x-locale": "en_US"}, **request)

    def _accepted(self, credentials: Credentials, answer: Answer) -> dict[str, Any]:
        errors = rows(answer.body, "errors")
        if answer.status < HTTPStatus.BAD_REQUEST and not errors:
            return answer.body
        mapper = karrio_seam.fedex_mapper(credentials, self._base_url)
        _, messages = karrio_seam.parsed(mapper.parse_cancel_shipment_response, {"errors": errors})
        detail = karrio_seam.sentence(messages) or f"FedEx refused with status {answer.status} and gave no reason."
        raise Refused(detail, status=answer.status, raw=answer.body)


def default_service(order: LabelOrder) -> str:
    """Return the service that fits where the parcel goes, when the merchant names none."""
    origin, destination = order.shipper.country_code, order.recipient.country_code
    if origin == destination and origin in GROUND_COUNTRIES:
        return "FEDEX_GROUND"
    if {origin, destination} <= EUROPE:
        return "FEDEX_REGIONAL_ECONOMY"
    return "PRIORITY_OVERNIGHT" if origin == destination else "FEDEX_INTERNATIONAL_PRIORITY"


def _purchase(body: dict[str, Any]) -> Purchase:
    shipment = at(body, "output", "transactionShipments", 0)
    pieces = rows(shipment, "pieceResponses")
    number = text(shipment, "masterTrackingNumber") or text(pieces, 0, "trackingNumber")
    if not number:
        raise OutcomeUnknown("FedEx accepted the shipment but named no tracking number.", raw=body)
    numbers = tuple(text(piece, "trackingNumber") for piece in pieces if text(piece, "trackingNumber"))
    return Purchase(number, numbers or (number,), _cost(shipment, pieces), body)


def _cost(shipment: object, pieces: list[Any]) -> Money | None:
    rate = at(shipment, "completedShipmentDetail", "shipmentRating", "shipmentRateDetails", 0)
    told = (text(rate, "totalNetCharge"), text(rate, "currency"))
    try:
        if all(told):
            return Money(Decimal(told[0]), told[1])
        amounts = [Decimal(text(piece, "netChargeAmount")) for piece in pieces]
    except InvalidOperation:
        return None
    currency = text(pieces, 0, "currency")
    return Money(sum(amounts, Decimal(0)), currency) if amounts and currency else None
