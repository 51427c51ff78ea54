"""FedEx REST as far as a shipper needs it: OAuth, Ship, Rate and Track, mounted under `/fedex`.

Nothing honours an idempotency key: `x-customer-transaction-id` is only echoed, and two equal POSTs buy two labels.
"""

import json
import uuid
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final, cast

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from rappit_doubles.carriers.fedex_answers import (
    GROUND,
    piece_label,
    piece_response,
    rated,
    transaction,
    transaction_ids,
)
from rappit_doubles.carriers.fedex_checks import (
    SERVICES,
    Problem,
    Service,
    currency_of,
    package_weights_kg,
    party_of,
    price_of,
    rate_problems,
    shipment_problems,
)
from rappit_doubles.carriers.numbers import TrackingNumbers
from rappit_doubles.carriers.store import Shipment, Store
from rappit_doubles.carriers.tokens import Accounts, FedexAccount, Tokens
from rappit_doubles.carriers.tracking import fedex_track_result
from rappit_doubles.carriers.trees import at, form_of, rows, text
from rappit_doubles.clock import Clock

MAX_TRACKED: Final = 30


class Fedex:
    """FedEx's endpoints over a store of shipments."""

    def __init__(
        self, store: Store, tokens: Tokens, accounts: Accounts, numbers: TrackingNumbers, clock: Clock
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._accounts = accounts
        self._numbers = numbers
        self._clock = clock

    def router(self) -> APIRouter:
        """The routes, below `/fedex`."""
        router = APIRouter(prefix="/fedex")
        router.add_api_route("/oauth/token", self.token, methods=["POST"])
        router.add_api_route("/ship/v1/shipments", self.ship, methods=["POST"])
        router.add_api_route("/ship/v1/shipments/cancel", self.cancel, methods=["PUT"])
        router.add_api_route("/ship/v1/shipments/packages/validate", self.validate, methods=["POST"])
        router.add_api_route("/rate/v1/rates/quotes", self.rates, methods=["POST"])
        router.add_api_route("/track/v1/trackingnumbers", self.track, methods=["POST"])
        router.add_api_route("/track/v1/referencenumbers", self.track_reference, methods=["POST"])
        router.add_api_route("/document/v1/labels/{number}", self.label, methods=["GET"])
        router.add_api_route("/{rest:path}", self.unknown, methods=["GET", "POST", "PUT", "DELETE"])
        return router

    async def token(self, request: Request) -> Response:
        """`POST /oauth/token`, client credentials as a form."""
        form = form_of(await request.body())
        if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            return self._refused(request, 400, Problem("BAD.REQUEST.ERROR", "The token endpoint takes a form."))
        if form.get("grant_type") not in {"client_credentials", "csp_credentials", "client_pc_credentials"}:
            return self._refused(request, 400, Problem("BAD.REQUEST.ERROR", "The grant_type is missing or unknown."))
        for account in self._accounts.fedex:
            if (form.get("client_id"), form.get("client_secret")) == (account.api_key, account.secret_key):
                token, lifetime_s = self._tokens.issue("fedex", account)
                return JSONResponse(
                    {"access_token": token, "token_type": "bearer", "expires_in": lifetime_s, "scope": "CXS-TP"}
                )
        problem = Problem("NOT.AUTHORIZED.ERROR", "The given client credentials were not valid.")
        return self._refused(request, 401, problem)

    async def ship(self, request: Request) -> Response:
        """`POST /ship/v1/shipments`: buys a label for every package."""
        body, refusal = await self._opened(request)
        problems = [] if refusal else shipment_problems(body)
        if refusal or problems:
            return refusal or self._refused(request, 400, *problems)
        output = self._bought(request, body)
        return self._answered(request, {"transactionShipments": [output], "jobId": uuid.uuid4().hex[:24]})

    async def validate(self, request: Request) -> Response:
        """`POST /ship/v1/shipments/packages/validate`: says whether `ship` would sell; buys nothing."""
        body, refusal = await self._opened(request)
        problems = [] if refusal else shipment_problems({"labelResponseOptions": "LABEL", **body})
        if refusal or problems:
            return refusal or self._refused(request, 400, *problems)
        alert = {
            "code": "SHIPMENT.VALIDATION.SUCCESS",
            "message": "Shipment validation succeeded.",
            "alertType": "NOTE",
        }
        return self._answered(request, {"alerts": [alert]})

    async def cancel(self, request: Request) -> Response:
        """`PUT /ship/v1/shipments/cancel`: only before tender.

        Unknown and tendered shipments are errors. One that was cancelled before is a 200 with
        `cancelledShipment: false`, so that a caller who trusts the status is found out.
        """
        body, refusal = await self._opened(request)
        if refusal:
            return refusal
        number = text(body, "trackingNumber")
        shipment = self._store.find("fedex", number)
        if shipment is None or shipment.account != text(body, "accountNumber", "value"):
            message = "No shipment of this account has that tracking number."
            problem = Problem("TRACKINGNUMBER.NOT.FOUND", message, "trackingNumber", number)
            return self._refused(request, 400, problem)
        if self._store.move(shipment, allowed={"purchased"}, to="voided"):
            return self._answered(
                request, {"cancelledShipment": True, "cancelledHistory": True, "successMessage": "Success"}
            )
        if shipment.status == "voided":
            alert = {
                "code": "SHIPMENT.ALREADY.CANCELLED",
                "alertType": "WARNING",
                "message": "The shipment was cancelled before.",
            }
            return self._answered(request, {"cancelledShipment": False, "cancelledHistory": True, "alerts": [alert]})
        problem = Problem("SHIPMENT.ALREADY.TENDERED", "The shipment was handed over and cannot be cancelled any more.")
        return self._refused(request, 400, problem)

    async def rates(self, request: Request) -> Response:
        """`POST /rate/v1/rates/quotes`: every service that fits, or the one asked for."""
        body, refusal = await self._opened(request)
        problems = [] if refusal else rate_problems(body)
        if refusal or problems:
            return refusal or self._refused(request, 400, *problems)
        shipment = at(body, "requestedShipment")
        origin, destination = (text(shipment, end, "address", "countryCode") for end in ("shipper", "recipient"))
        wanted = text(shipment, "serviceType")
        details = [
            self._quote(code, service, shipment)
            for code, service in SERVICES.items()
            if service.international == (origin != destination) and wanted in {"", code}
        ]
        if not details:
            problem = Problem(
                "SERVICE.PACKAGECOMBINATION.INVALID", "No service fits this shipment.", "serviceType", wanted
            )
            return self._refused(request, 400, problem)
        return self._answered(
            request,
            {"rateReplyDetails": details, "quoteDate": f"{self._clock():%Y-%m-%d}", "encoded": False},
        )

    async def track(self, request: Request) -> Response:
        """`POST /track/v1/trackingnumbers`: up to 30 numbers; an unknown one is an error inside the 200."""
        body, refusal = await self._opened(request)
        if refusal:
            return refusal
        numbers = [text(info, "trackingNumberInfo", "trackingNumber") for info in rows(body, "trackingInfo")]
        if not 1 <= len(numbers) <= MAX_TRACKED or not all(numbers):
            message = f"Give 1 to {MAX_TRACKED} tracking numbers."
            return self._refused(request, 400, Problem("TRACKING.TRACKINGNUMBER.EMPTY", message))
        found = [(number, self._store.find("fedex", number)) for number in numbers]
        return self._answered(
            request,
            {"completeTrackResults": [fedex_track_result(number, shipment) for number, shipment in found]},
        )

    async def track_reference(self, request: Request) -> Response:
        """`POST /track/v1/referencenumbers`: shipments of an account (or to a place) that carry a reference."""
        body, refusal = await self._opened(request)
        if refusal:
            return refusal
        asked = at(body, "referencesInformation")
        value, account = text(asked, "value"), text(asked, "accountNumber")
        country, postal_code = text(asked, "destinationCountryCode"), text(asked, "destinationPostalCode")
        if not value:
            return self._refused(request, 400, Problem("TRACKING.REFERENCEVALUE.EMPTY", "Give a reference value."))
        if not account and not (country and postal_code):
            message = "Give the shipper's account number, or the destination's country and postal code."
            return self._refused(request, 400, Problem("TRACKING.REFERENCEDATA.INCOMPLETE", message))
        found = [
            shipment
            for shipment in self._store.shipments(carrier="fedex", reference=value)
            if (not account or shipment.account == account)
            and (not country or shipment.recipient.country == country)
            and (not postal_code or shipment.recipient.postal_code == postal_code)
        ]
        results = [fedex_track_result(shipment.tracking_number, shipment) for shipment in found]
        missing = fedex_track_result(value, None, unknown_code="TRACKING.REFERENCENUMBER.NOTFOUND")
        return self._answered(request, {"completeTrackResults": results or [missing]})

    async def label(self, number: str) -> Response:
        """The label behind the link that `URL_ONLY` answers with; base64, as `encodedLabel` would be."""
        shipment = self._store.find("fedex", number)
        return Response(status_code=404) if shipment is None else Response(shipment.label, media_type="text/plain")

    async def unknown(self, request: Request) -> Response:
        """Whatever FedEx has and this double has not."""
        return self._refused(request, 404, Problem("NOT.FOUND.ERROR", "The resource does not exist."))

    def _bought(self, request: Request, body: dict[str, Any]) -> dict[str, Any]:
        asked = at(body, "requestedShipment")
        code = text(asked, "serviceType")
        weights = [weight or Decimal(0) for weight in package_weights_kg(asked)]
        prices = [price_of(SERVICES[code], weight, currency_of(asked)) for weight in weights]
        numbers = [self._numbers.fedex() for _ in weights]
        references = [
            text(reference, "value")
            for package in rows(asked, "requestedPackageLineItems")
            for reference in rows(package, "customerReferences")
        ]
        shipment = Shipment(
            carrier="fedex",
            tracking_number=numbers[0],
            account=text(body, "accountNumber", "value"),
            reference=references[0] if references else None,
            references=references,
            service=code,
            shipper=party_of(at(asked, "shipper")),
            recipient=party_of(at(asked, "recipients", 0)),
            weight_kg=sum(weights, Decimal(0)),
            created_at=self._clock(),
            label="",
            label_format=text(asked, "labelSpecification", "imageType"),
            net_charge=sum((price.net for price in prices), Decimal(0)),
            currency=prices[0].currency,
            pieces=numbers,
        )
        stock = text(asked, "labelSpecification", "labelStockType")
        labels = [piece_label(shipment, index, weight, stock) for index, weight in enumerate(weights)]
        shipment.label = labels[0]
        self._store.add(shipment)
        links = [f"{request.base_url}fedex/document/v1/labels/{number}" for number in numbers]
        as_link = text(body, "labelResponseOptions") == "URL_ONLY"
        documents = [
            {"url": links[index]} if as_link else {"encodedLabel": label} for index, label in enumerate(labels)
        ]
        pieces = [piece_response(shipment, index, price, documents[index]) for index, price in enumerate(prices)]
        return transaction(shipment, text(asked, "shipDatestamp"), pieces, prices)

    def _quote(self, code: str, service: Service, shipment: object) -> dict[str, Any]:
        weights = [weight or Decimal(0) for weight in package_weights_kg(shipment)]
        prices = [price_of(service, weight, currency_of(shipment)) for weight in weights]
        delivered = self._clock() + timedelta(days=service.days)
        rates = [
            rated(rate_type, prices)
            for rate_type in ("ACCOUNT", "LIST")
            if rate_type in rows(shipment, "rateRequestType")
        ] or [rated("LIST", prices)]
        return {
            "serviceType": code,
            "serviceName": service.name,
            "packagingType": text(shipment, "packagingType") or "YOUR_PACKAGING",
            "ratedShipmentDetails": rates,
            "operationalDetail": {
                "commitDate": f"{delivered:%Y-%m-%dT20:00:00}",
                "transitTime": f"{('ONE', 'TWO', 'THREE', 'FOUR', 'FIVE')[service.days - 1]}_DAYS",
                "ineligibleForMoneyBackGuarantee": code in GROUND,
            },
            "serviceDescription": {"serviceType": code, "description": service.name},
        }

    async def _opened(self, request: Request) -> tuple[dict[str, Any], Response | None]:
        """The request's JSON object; or the refusal of a bad token, bad JSON or an account that is not the token's."""
        state, account = self._tokens.check("fedex", request.headers.get("authorization"))
        if state != "valid":
            message = "Access token expired. Please modify your request and try again."
            if state == "unknown":
                message = "Access token invalid. Please modify your request and try again."
            return {}, self._refused(request, 401, Problem("NOT.AUTHORIZED.ERROR", message))
        try:
            body: object = json.loads(await request.body())
        except ValueError:
            body = None
        if not isinstance(body, dict):
            return {}, self._refused(request, 400, Problem("INVALID.INPUT.EXCEPTION", "Invalid JSON in the request."))
        tree = cast("dict[str, Any]", body)
        number = text(tree, "accountNumber", "value")
        needs_account = not request.url.path.startswith("/fedex/track/")
        if needs_account and number != cast("FedexAccount", account).account_number:
            problem = Problem("ACCOUNT.NUMBER.MISMATCH", "Account number mismatch.", "accountNumber", number)
            return {}, self._refused(request, 403 if number else 400, problem)
        return tree, None

    def _answered(self, request: Request, output: dict[str, Any]) -> JSONResponse:
        return JSONResponse({**transaction_ids(request), "output": output})

    def _refused(self, request: Request, status: int, *problems: Problem) -> JSONResponse:
        errors = [problem.told() for problem in problems]
        return JSONResponse({**transaction_ids(request), "errors": errors}, status_code=status)
