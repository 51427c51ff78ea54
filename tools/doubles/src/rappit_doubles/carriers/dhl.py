"""DHL Parcel DE Shipping v2, its token service and its tracking, mounted under `/dhl`.

Nothing honours an idempotency key: `refNo` is printed and found again by tracking, and two equal POSTs buy two labels.
"""

import base64
import binascii
import json
from datetime import date
from typing import Any, Final, cast

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from rappit_doubles.carriers.dhl_checks import Finding, party_of, shipment_findings, status_block, weight_kg
from rappit_doubles.carriers.labels import LabelContent, manifest_pdf, pdf_label, zpl_label
from rappit_doubles.carriers.numbers import TrackingNumbers
from rappit_doubles.carriers.store import Shipment, Store
from rappit_doubles.carriers.tokens import Accounts, DhlAccount, Tokens
from rappit_doubles.carriers.tracking import dhl_tracking_query, dhl_tracking_xml
from rappit_doubles.carriers.trees import at, form_of, rows, text
from rappit_doubles.clock import Clock

MAX_SHIPMENTS_PER_CALL: Final = 30
DEFAULT_STOCK: Final = "910-300-700"
OK: Final = 200
BAD: Final = 400


class DhlParcelDe:
    """DHL's endpoints over a store of shipments."""

    def __init__(
        self, store: Store, tokens: Tokens, accounts: Accounts, numbers: TrackingNumbers, clock: Clock
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._accounts = accounts
        self._numbers = numbers
        self._clock = clock

    def router(self) -> APIRouter:
        """The routes, below `/dhl`."""
        router = APIRouter(prefix="/dhl/parcel/de")
        router.add_api_route("/account/auth/ropc/v1/token", self.token, methods=["POST"])
        router.add_api_route("/shipping/v2/orders", self.create, methods=["POST"])
        router.add_api_route("/shipping/v2/orders", self.read, methods=["GET"])
        router.add_api_route("/shipping/v2/orders", self.delete, methods=["DELETE"])
        router.add_api_route("/shipping/v2/manifests", self.close, methods=["POST"])
        router.add_api_route("/shipping/v2/manifests", self.manifest, methods=["GET"])
        router.add_api_route("/shipping/v2/labels", self.label, methods=["GET"])
        router.add_api_route("/tracking/v0/shipments", self.track, methods=["GET"])
        router.add_api_route("/{rest:path}", self.unknown, methods=["GET", "POST", "PUT", "DELETE"])
        return router

    async def token(self, request: Request) -> Response:
        """`POST .../ropc/v1/token`: the resource owner password grant as a form."""
        form = form_of(await request.body())
        if form.get("grant_type") != "password":
            refusal = {"error": "unsupported_grant_type", "error_description": "The grant type must be password."}
            return JSONResponse(refusal, status_code=400)
        for account in self._accounts.dhl:
            wanted = (account.client_id, account.client_secret, account.username, account.password)
            if tuple(form.get(name) for name in ("client_id", "client_secret", "username", "password")) == wanted:
                token, lifetime_s = self._tokens.issue("dhl", account)
                return JSONResponse({"access_token": token, "token_type": "Bearer", "expires_in": lifetime_s})
        refusal = {"error": "invalid_client", "error_description": "The credentials are not valid."}
        return JSONResponse(refusal, status_code=401)

    async def create(self, request: Request) -> Response:
        """`POST /orders`: buys a label a shipment; 200 when all are sold, 207 when some are, 400 when none is."""
        account, refusal = self._signed_in(request)
        if account is None:
            return refusal
        try:
            body: object = json.loads(await request.body())
        except ValueError:
            return _problem(BAD, "Bad Request", "The request body is no JSON.")
        shipments = rows(body, "shipments")
        if not text(body, "profile"):
            return _problem(BAD, "Bad Request", "profile is required.")
        if not 1 <= len(shipments) <= MAX_SHIPMENTS_PER_CALL:
            return _problem(BAD, "Bad Request", f"Give 1 to {MAX_SHIPMENTS_PER_CALL} shipments.")
        must_encode = _flag(request, "mustEncode")
        judged = [
            (shipment, shipment_findings(shipment, ekp=account.ekp, must_encode=must_encode)) for shipment in shipments
        ]
        items = [self._ordered(request, shipment, findings) for shipment, findings in judged]
        return _items_answer(items, "shipment(s) processed")

    async def read(self, request: Request) -> Response:
        """`GET /orders?shipment=`: labels again, of shipments whose day is not closed."""
        account, refusal = self._signed_in(request)
        if account is None:
            return refusal
        items: list[dict[str, Any]] = []
        for number in _asked_numbers(request):
            shipment = self._own(account, number)
            if shipment is None or shipment.status != "purchased":
                status = status_block(404, "The shipment is unknown, deleted or closed.")
                items.append({"shipmentNo": number, "sstatus": status})
            else:
                items.append(_sold_item(request, shipment, []))
        return _items_answer(items, "shipment(s) found", none=404)

    async def delete(self, request: Request) -> Response:
        """`DELETE /orders?profile=&shipment=`: before the day is closed; unknown and already deleted are 400."""
        account, refusal = self._signed_in(request)
        if account is None:
            return refusal
        if not request.query_params.get("profile"):
            return _problem(BAD, "Bad Request", "profile is required.")
        items: list[dict[str, Any]] = []
        for number in _asked_numbers(request):
            shipment = self._own(account, number)
            done = shipment is not None and self._store.move(shipment, allowed={"purchased"}, to="voided")
            detail = "The shipment was deleted." if done else "The shipment is unknown, deleted before, or closed."
            items.append({"shipmentNo": number, "sstatus": status_block(OK if done else BAD, detail)})
        return _items_answer(items, "shipment(s) deleted")

    async def close(self, request: Request) -> Response:
        """`POST /manifests`: closes the given shipments, or every open one with `all=true`, for good."""
        account, refusal = self._signed_in(request)
        if account is None:
            return refusal
        try:
            body: object = json.loads(await request.body() or b"{}")
        except ValueError:
            return _problem(BAD, "Bad Request", "The request body is no JSON.")
        if not text(body, "profile"):
            return _problem(BAD, "Bad Request", "profile is required.")
        numbers = [number for number in rows(body, "shipmentNumbers") if isinstance(number, str)]
        if _flag(request, "all"):
            opened = self._store.shipments(carrier="dhl", status="purchased")
            numbers = [shipment.tracking_number for shipment in opened if shipment.account.startswith(account.ekp)]
        items: list[dict[str, Any]] = []
        for number in numbers:
            shipment = self._own(account, number)
            done = shipment is not None and self._store.move(shipment, allowed={"purchased"}, to="closed")
            detail = "The shipment is manifested." if done else "The shipment is unknown, deleted or closed before."
            items.append({"shipmentNo": number, "sstatus": status_block(OK if done else BAD, detail)})
        return _items_answer(items, "shipment(s) manifested")

    async def manifest(self, request: Request) -> Response:
        """`GET /manifests?date=`: the list of what was closed for a day's shipments."""
        account, refusal = self._signed_in(request)
        if account is None:
            return refusal
        try:
            day = date.fromisoformat(request.query_params.get("date") or f"{self._clock():%Y-%m-%d}")
        except ValueError:
            return _problem(BAD, "Bad Request", "date must look like 2026-01-31.")
        closed = [
            shipment
            for shipment in self._store.shipments(carrier="dhl", status="closed")
            if shipment.account.startswith(account.ekp) and shipment.created_at.date() == day
        ]
        lines = [f"{shipment.tracking_number}  {shipment.service}  {shipment.recipient.city}" for shipment in closed]
        document = base64.b64encode(manifest_pdf(f"DHL manifest {day}", lines)).decode("ascii")
        return JSONResponse(
            {
                "status": status_block(OK, f"{len(closed)} shipment(s) manifested."),
                "manifestDate": day.isoformat(),
                "manifest": {"b64": document, "fileFormat": "PDF", "printFormat": "A4"},
                "items": [
                    {"shipmentNumber": shipment.tracking_number, "billingNumber": shipment.account}
                    for shipment in closed
                ],
            }
        )

    async def label(self, token: str = "") -> Response:
        """The label behind the link that `includeDocs=URL` answers with."""
        shipment = self._store.find("dhl", token)
        if shipment is None:
            return _problem(404, "Not Found", "The link is unknown or has expired.")
        if shipment.label_format == "ZPL2":
            return Response(shipment.label, media_type="text/plain")
        return Response(base64.b64decode(shipment.label), media_type="application/pdf")

    async def track(self, request: Request) -> Response:
        """`GET /parcel/de/tracking/v0/shipments?xml=`: by piece code, or by the customer's reference."""
        if not self._knows_app(request.headers.get("authorization", "")):
            return _problem(401, "Unauthorized", "Unauthorized for given resource.")
        query = dhl_tracking_query(request.query_params.get("xml", ""))
        if query is None:
            return _problem(BAD, "Bad Request", "The query parameter xml is no XML.")
        reference = query.get("piece-customer-reference", "")
        if reference:
            found = self._store.shipments(carrier="dhl", reference=reference)
        else:
            asked = [self._store.find("dhl", code) for code in query.get("piece-code", "").split(";")]
            found = [shipment for shipment in asked if shipment is not None]
        return Response(dhl_tracking_xml(found), media_type="application/xml")

    async def unknown(self) -> Response:
        """Whatever DHL has and this double has not."""
        return _problem(404, "Not Found", "The resource does not exist.")

    def _signed_in(self, request: Request) -> tuple[DhlAccount | None, Response]:
        state, account = self._tokens.check("dhl", request.headers.get("authorization"))
        if state == "valid" and isinstance(account, DhlAccount):
            return account, Response()
        return None, _problem(401, "Unauthorized", "Unauthorized for given resource.")

    def _knows_app(self, authorization: str) -> bool:
        scheme, _, encoded = authorization.partition(" ")
        try:
            given = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return False
        known = {f"{account.client_id}:{account.client_secret}" for account in self._accounts.dhl}
        return scheme.lower() == "basic" and given in known

    def _own(self, account: DhlAccount, number: str) -> Shipment | None:
        shipment = self._store.find("dhl", number)
        return shipment if shipment is not None and shipment.account.startswith(account.ekp) else None

    def _ordered(self, request: Request, shipment: object, findings: list[Finding]) -> dict[str, Any]:
        told = [finding.told() for finding in findings]
        if any(finding.state == "Error" for finding in findings):
            status = status_block(BAD, "The shipment has errors and was not created.")
            return {"shipmentRefNo": text(shipment, "refNo"), "sstatus": status, "validationMessages": told}
        if _flag(request, "validate"):
            status = status_block(OK, "The shipment is valid.")
            return {"shipmentRefNo": text(shipment, "refNo"), "sstatus": status, "validationMessages": told}
        return _sold_item(request, self._sold(request, shipment), told)

    def _sold(self, request: Request, asked: object) -> Shipment:
        reference = text(asked, "refNo") or None
        weight = weight_kg(asked)
        number = self._numbers.dhl()
        sold = Shipment(
            carrier="dhl",
            tracking_number=number,
            account=text(asked, "billingNumber"),
            reference=reference,
            references=[reference] if reference else [],
            service=text(asked, "product"),
            shipper=party_of(at(asked, "shipper")),
            recipient=party_of(at(asked, "consignee")),
            weight_kg=cast("Any", weight),
            created_at=self._clock(),
            label="",
            label_format="ZPL2" if request.query_params.get("docFormat") == "ZPL2" else "PDF",
            pieces=[number],
        )
        content = LabelContent(
            carrier_name="DHL",
            service=sold.service,
            tracking_number=number,
            shipper=sold.shipper,
            recipient=sold.recipient,
            weight=f"{weight} kg",
            reference=reference,
        )
        stock = request.query_params.get("printFormat", DEFAULT_STOCK)
        is_zpl = sold.label_format == "ZPL2"
        sold.label = zpl_label(content) if is_zpl else base64.b64encode(pdf_label(content, stock)).decode("ascii")
        self._store.add(sold)
        return sold


def _flag(request: Request, name: str) -> bool:
    return request.query_params.get(name, "").lower() == "true"


def _asked_numbers(request: Request) -> list[str]:
    return request.query_params.getlist("shipment")[:MAX_SHIPMENTS_PER_CALL]


def _sold_item(request: Request, shipment: Shipment, findings: list[dict[str, str]]) -> dict[str, Any]:
    stock = request.query_params.get("printFormat", DEFAULT_STOCK)
    document = {"fileFormat": shipment.label_format, "printFormat": stock}
    if request.query_params.get("includeDocs", "include").lower() == "url":
        document["url"] = f"{request.base_url}dhl/parcel/de/shipping/v2/labels?token={shipment.tracking_number}"
    else:
        document["zpl2" if shipment.label_format == "ZPL2" else "b64"] = shipment.label
    return {
        "shipmentNo": shipment.tracking_number,
        "shipmentRefNo": shipment.reference,
        "sstatus": status_block(OK, "The shipment was created."),
        "routingCode": f"40{shipment.recipient.postal_code}+00000000",
        "label": document,
        "validationMessages": findings,
    }


def _items_answer(items: list[dict[str, Any]], what: str, *, none: int = BAD) -> JSONResponse:
    """200 when every item went well, `none` when no item did, else 207."""
    good = sum(at(item, "sstatus", "statusCode") == OK for item in items)
    if not items:
        return _problem(BAD, "Bad Request", "Give at least one shipment.")
    code = OK if good == len(items) else 207 if good else none
    status = status_block(code, f"{good} of {len(items)} {what}.")
    return JSONResponse({"status": status, "items": items}, status_code=code)


def _problem(code: int, title: str, detail: str) -> JSONResponse:
    problem = {"title": title, "status": code, "statusCode": code, "detail": detail}
    return JSONResponse(problem, status_code=code, media_type="application/problem+json")
