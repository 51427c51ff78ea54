"""DHL Parcel DE Shipping v2: OAuth with the resource owner's password, orders, deletion before the day is closed."""

import base64
import re
from collections.abc import Mapping
from datetime import datetime, time
from http import HTTPStatus
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from rappit_shipping.carriers import karrio_seam
from rappit_shipping.carriers.checks import required, too_many_parcels
from rappit_shipping.carriers.transport import Answer, CarrierHttp, SignedHttp, TokenCache
from rappit_shipping.carriers.trees import at, rows, text
from rappit_shipping.domain.carrier import (
    MEDIA_TYPES,
    Credentials,
    Found,
    InvalidCredentialsError,
    Label,
    LabelFormat,
    LabelOrder,
    LabelUnreadableError,
    OutcomeUnknown,
    Purchase,
    Refused,
    UnshippableError,
    UnsupportedByCarrierError,
    VoidState,
)

# DHL would sell several parcels of one call partly (207): each is a shipment of its own there, so it is one here too.
MAX_PARCELS = 1
ORDERS = "/parcel/de/shipping/v2/orders"
PRINT_FORMATS = {LabelFormat.PDF: "PDF_910_300_700", LabelFormat.ZPL: "ZPL2_910_300_700"}
DAY_CLOSE = time(18, 0)
GERMANY = ZoneInfo("Europe/Berlin")
PROFILE = "STANDARD_GRUPPENPROFIL"


class DhlCarrier:
    """DHL Parcel DE behind the carrier port."""

    code = "dhl"
    name = "DHL"
    can_void = True
    can_find = False  # the shipping API has no search by reference
    fields: ClassVar[dict[str, str]] = {
        "api_key": "the API key of the DHL developer app",
        "api_secret": "the API secret of the DHL developer app",
        "username": "the business customer portal's user name",
        "password": "the business customer portal's password",
        "billing_number": "the 14 character billing number (EKP, procedure, participation)",
    }

    def __init__(self, http: CarrierHttp) -> None:
        self._http = SignedHttp(http, TokenCache(http, "/parcel/de/account/auth/ropc/v1/token"))
        self._base_url = http.base_url

    def check_credentials(self, credentials: Credentials) -> dict[str, str]:
        """See the port."""
        checked = required(self.name, credentials, self.fields)
        if not re.fullmatch(r"[0-9]{12}[0-9A-Za-z]{2}", checked["billing_number"]):
            raise InvalidCredentialsError(
                "billing_number has 14 characters: the 10 digit customer number (EKP), 2 digits of the procedure and "
                "2 characters of the participation, for example 33333333330101."
            )
        return checked

    async def buy_label(self, credentials: Credentials, order: LabelOrder) -> Purchase:
        """See the port. ``POST /orders``."""
        too_many_parcels(self.name, order, MAX_PARCELS)
        mapper = karrio_seam.dhl_mapper(credentials, self._base_url)
        unified = karrio_seam.shipment_request(
            order, service=order.service or default_service(order), label_type=PRINT_FORMATS[order.label_format]
        )
        try:
            request = mapper.create_shipment_request(unified)
            body: dict[str, Any] = request.serialize()
        except Exception as error:
            raise UnshippableError(f"The request cannot be written for DHL: {error}") from error
        query = {name: value for name, value in request.ctx.items() if name != "_meta"}
        answer = await self._send(credentials, "POST", ORDERS, params=query, json=body)
        return _purchase(self._accepted(credentials, answer))

    def read_label(self, raw: Mapping[str, Any], label_format: LabelFormat) -> Label:
        """See the port."""
        label = at(raw, "items", 0, "label")
        encoded, zpl = text(label, "b64"), text(label, "zpl2")
        try:
            content = zpl.encode() if zpl else base64.b64decode(encoded, validate=True)
        except ValueError as error:
            raise LabelUnreadableError(f"DHL's label cannot be read: {error}") from error
        if not content:
            raise LabelUnreadableError("DHL's answer holds no label.")
        return Label(content, MEDIA_TYPES[label_format])

    async def void(self, credentials: Credentials, tracking_number: str) -> None:
        """See the port. ``DELETE /orders``: only before the day is closed, one shipment a call."""
        query = {"profile": PROFILE, "shipment": tracking_number}
        answer = await self._send(credentials, "DELETE", ORDERS, params=query)
        body = self._accepted(credentials, answer)
        if _item_status(body) != HTTPStatus.OK:
            raise OutcomeUnknown("DHL answered without saying whether the shipment was deleted.", raw=body)

    async def find(self, credentials: Credentials, reference: str) -> Found | None:
        """See the port: DHL cannot be asked, so an unknown outcome waits for a person."""
        del credentials
        raise UnsupportedByCarrierError(f"DHL cannot be asked for {reference}: it has no search by reference.")

    async def void_state(
        self, credentials: Credentials, tracking_number: str, *, bought_at: datetime, now: datetime
    ) -> VoidState:
        """See the port. ``GET /orders`` knows unclosed shipments only, so its 404 tells nothing after day close."""
        answer = await self._send(credentials, "GET", ORDERS, params={"shipment": tracking_number})
        if _item_status(answer.body) == HTTPStatus.OK:
            return VoidState.LIVE
        here, then = now.astimezone(GERMANY), bought_at.astimezone(GERMANY)
        still_open = here.date() == then.date() and here.time() < DAY_CLOSE
        is_gone = answer.status == HTTPStatus.NOT_FOUND or _item_status(answer.body) == HTTPStatus.NOT_FOUND
        return VoidState.VOIDED if is_gone and still_open else VoidState.UNCLEAR

    async def _send(self, credentials: Credentials, method: str, path: str, **request: Any) -> Answer:
        form = {
            "grant_type": "password",
            "username": credentials["username"],
            "password": credentials["password"],
            "client_id": credentials["api_key"],
            "client_secret": credentials["api_secret"],
        }
        return await self._http.send(form, method, path, headers={"accept-language": "en-DE"}, **request)

    def _accepted(self, credentials: Credentials, answer: Answer) -> dict[str, Any]:
        status = _item_status(answer.body)
        if answer.status < HTTPStatus.BAD_REQUEST and status in {None, HTTPStatus.OK}:
            return answer.body
        mapper = karrio_seam.dhl_mapper(credentials, self._base_url)
        findings = [finding for item in rows(answer.body, "items") for finding in rows(item, "validationMessages")]
        about = at(answer.body, "items", 0, "sstatus") or answer.body
        # The findings say what is wrong; without any, the item's own words do, and else the whole answer's.
        told = {"items": [{"validationMessages": findings}]} if findings else {"status": about}
        _, messages = karrio_seam.parsed(mapper.parse_cancel_shipment_response, told)
        detail = karrio_seam.sentence(messages) or f"DHL refused with status {answer.status} and gave no reason."
        raise Refused(detail, status=answer.status, raw=answer.body)


def default_service(order: LabelOrder) -> str:
    """Return DHL Paket within Germany and Paket International elsewhere."""
    return "V01PAK" if order.recipient.country_code == "DE" else "V53WPAK"


def _item_status(body: Mapping[str, Any]) -> int | None:
    status = text(body, "items", 0, "sstatus", "statusCode")
    return int(status) if status.isdigit() else None


def _purchase(body: dict[str, Any]) -> Purchase:
    number = text(body, "items", 0, "shipmentNo")
    if not number or _item_status(body) != HTTPStatus.OK:
        raise OutcomeUnknown("DHL accepted the shipment but named no shipment number.", raw=body)
    # DHL names no price: it bills by contract.
    return Purchase(number, (number,), None, body)
