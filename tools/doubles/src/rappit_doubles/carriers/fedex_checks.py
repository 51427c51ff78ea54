"""What FedEx demands of a request before it does anything, and what it charges."""

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal
from typing import Any, Final

from rappit_doubles.carriers.store import Party
from rappit_doubles.carriers.trees import at, number, rows, text

KG_PER_LB: Final = Decimal("0.45359237")
MAX_PACKAGES: Final = 30
MAX_WEIGHT_KG: Final = Decimal(68)
MAX_STREET_LINES: Final = 3
MAX_REFERENCE_CHARS: Final = 30
ACCOUNT_DISCOUNT: Final = Decimal("0.85")
FUEL_RATE: Final = Decimal("0.12")
CENT: Final = Decimal("0.01")

STATE_COUNTRIES: Final = frozenset({"US", "CA"})
POSTAL_COUNTRIES: Final = frozenset({"US", "CA", "DE", "FR", "GB", "NL", "AT", "BE", "IT", "ES", "PL", "CH"})
CURRENCIES: Final = {"US": "USD", "CA": "CAD", "GB": "GBP", "CH": "CHF", "PL": "PLN"}
IMAGE_TYPES: Final = frozenset({"PDF", "ZPLII", "EPL2", "PNG"})
PICKUP_TYPES: Final = frozenset({"CONTACT_FEDEX_TO_SCHEDULE", "DROPOFF_AT_FEDEX_LOCATION", "USE_SCHEDULED_PICKUP"})
PAYMENT_TYPES: Final = frozenset({"SENDER", "RECIPIENT", "THIRD_PARTY", "COLLECT", "ACCOUNT"})


@dataclass(frozen=True)
class Service:
    """A FedEx service: its name, base price, price per started kilogram and days on the way."""

    name: str
    base: Decimal
    per_kg: Decimal
    days: int
    international: bool


_TARIFF: Final = (
    # code, name, base, per started kilogram, days, international
    ("FEDEX_GROUND", "FedEx Ground", "9.20", "0.85", 4, False),
    ("GROUND_HOME_DELIVERY", "FedEx Home Delivery", "9.90", "0.90", 4, False),
    ("FEDEX_EXPRESS_SAVER", "FedEx Express Saver", "16.40", "1.60", 3, False),
    ("FEDEX_2_DAY", "FedEx 2Day", "19.80", "2.10", 2, False),
    ("STANDARD_OVERNIGHT", "FedEx Standard Overnight", "31.50", "3.40", 1, False),
    ("PRIORITY_OVERNIGHT", "FedEx Priority Overnight", "36.00", "3.80", 1, False),
    ("FIRST_OVERNIGHT", "FedEx First Overnight", "68.00", "4.20", 1, False),
    ("FEDEX_REGIONAL_ECONOMY", "FedEx Regional Economy", "8.70", "0.75", 3, True),
    ("INTERNATIONAL_ECONOMY", "FedEx International Economy", "38.00", "4.50", 5, True),
    ("FEDEX_INTERNATIONAL_PRIORITY", "FedEx International Priority", "52.00", "6.20", 3, True),
    ("FEDEX_INTERNATIONAL_PRIORITY_EXPRESS", "FedEx International Priority Express", "61.00", "6.90", 2, True),
    ("FEDEX_INTERNATIONAL_CONNECT_PLUS", "FedEx International Connect Plus", "29.00", "3.90", 4, True),
)
SERVICES: Final = {
    code: Service(name, Decimal(base), Decimal(per_kg), days, international=international)
    for code, name, base, per_kg, days, international in _TARIFF
}
# Sold within Europe too, although its crossing of a border is domestic to the customer.
BOTH_WAYS: Final = frozenset({"FEDEX_REGIONAL_ECONOMY"})


@dataclass(frozen=True)
class Problem:
    """One reason to refuse, in FedEx's words: a code, a sentence, and the field with what it held."""

    code: str
    message: str
    field: str = ""
    value: str = ""

    def told(self) -> dict[str, Any]:
        """The problem as an entry of `errors`."""
        entry: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.field:
            entry["parameterList"] = [{"key": self.field, "value": self.value}]
        return entry


def _missing(field: str) -> Problem:
    return Problem("INVALID.INPUT.EXCEPTION", f"Field {field} is required and was empty.", field)


def _address_problems(address: object, field: str) -> list[Problem]:
    problems: list[Problem] = []
    lines = [line for line in rows(address, "streetLines") if isinstance(line, str) and line.strip()]
    if not 1 <= len(lines) <= MAX_STREET_LINES:
        problems.append(
            Problem("INVALID.INPUT.EXCEPTION", f"{field}.streetLines needs 1 to {MAX_STREET_LINES} lines.", field)
        )
    country = text(address, "countryCode")
    if len(country) != 2 or not country.isupper():  # noqa: PLR2004 - ISO 3166 alpha-2
        problems.append(Problem("COUNTRYCODE.INVALID", f"{field}.countryCode is not valid.", field, country))
    problems += [_missing(f"{field}.{name}") for name in ("city",) if not text(address, name)]
    if country in POSTAL_COUNTRIES and not text(address, "postalCode"):
        problems.append(Problem("POSTALCODE.REQUIRED", f"{field}.postalCode is required for {country}.", field))
    if country in STATE_COUNTRIES and not text(address, "stateOrProvinceCode"):
        message = f"{field}.stateOrProvinceCode is required for {country}."
        problems.append(Problem("STATEORPROVINCECODE.REQUIRED", message, field))
    return problems


def _party_problems(party: object, field: str) -> list[Problem]:
    problems = _address_problems(at(party, "address"), f"{field}.address")
    contact = at(party, "contact")
    if not text(contact, "phoneNumber"):
        problems.append(_missing(f"{field}.contact.phoneNumber"))
    if not (text(contact, "personName") or text(contact, "companyName")):
        problems.append(_missing(f"{field}.contact.personName"))
    return problems


def package_weights_kg(shipment: object) -> list[Decimal | None]:
    """The weight of each package in kilograms; None for one that has no readable weight."""
    weights: list[Decimal | None] = []
    for package in rows(shipment, "requestedPackageLineItems"):
        value = number(package, "weight", "value")
        factor = {"KG": Decimal(1), "LB": KG_PER_LB}.get(text(package, "weight", "units"))
        weights.append(value * factor if value is not None and value > 0 and factor is not None else None)
    return weights


def _package_problems(shipment: object) -> list[Problem]:
    weights = package_weights_kg(shipment)
    field = "requestedShipment.requestedPackageLineItems"
    if not 1 <= len(weights) <= MAX_PACKAGES:
        return [Problem("INVALID.INPUT.EXCEPTION", f"{field} needs 1 to {MAX_PACKAGES} packages.", field)]
    problems: list[Problem] = []
    for index, weight in enumerate(weights):
        if weight is None:
            problems.append(
                Problem("WEIGHT.INVALID", "Package weight is missing or invalid.", f"{field}[{index}].weight")
            )
        elif weight > MAX_WEIGHT_KG:
            message = f"Package weight exceeds the limit of {MAX_WEIGHT_KG} kg."
            problems.append(Problem("PACKAGE.WEIGHT.EXCEEDED", message, f"{field}[{index}].weight", str(weight)))
        for reference in rows(shipment, "requestedPackageLineItems", index, "customerReferences"):
            value = text(reference, "value")
            if len(value) > MAX_REFERENCE_CHARS:
                message = f"A customer reference has at most {MAX_REFERENCE_CHARS} characters."
                problems.append(Problem("CUSTOMERREFERENCE.VALUE.INVALID", message, field, value))
    return problems


def _enumerated(shipment: object, path: tuple[str, ...], allowed: frozenset[str]) -> list[Problem]:
    value, field = text(shipment, *path), ".".join(("requestedShipment", *path))
    if not value:
        return [_missing(field)]
    return (
        []
        if value in allowed
        else [Problem("INVALID.INPUT.EXCEPTION", f"Invalid field value in {field}.", field, value)]
    )


def _service_problems(shipment: object) -> list[Problem]:
    code = text(shipment, "serviceType")
    service = SERVICES.get(code)
    if service is None:
        return [Problem("SERVICETYPE.INVALID", "The service type is not valid.", "requestedShipment.serviceType", code)]
    crosses = text(shipment, "shipper", "address", "countryCode") != text(
        shipment, "recipients", 0, "address", "countryCode"
    )
    if crosses != service.international and code not in BOTH_WAYS:
        message = f"{service.name} is not available between these countries."
        return [Problem("SERVICETYPE.NOT.ALLOWED", message, "requestedShipment.serviceType", code)]
    customs = rows(shipment, "customsClearanceDetail", "commodities")
    if crosses and code not in BOTH_WAYS and not customs:
        return [_missing("requestedShipment.customsClearanceDetail.commodities")]
    return []


def shipment_problems(request: object) -> list[Problem]:
    """Everything that keeps FedEx from selling a label for this request; empty when it would."""
    shipment = at(request, "requestedShipment")
    if not shipment:
        return [_missing("requestedShipment")]
    problems = _party_problems(at(shipment, "shipper"), "requestedShipment.shipper")
    recipients = rows(shipment, "recipients")
    if recipients:
        problems += _party_problems(recipients[0], "requestedShipment.recipients[0]")
    else:
        problems.append(_missing("requestedShipment.recipients"))
    problems += _service_problems(shipment) + _package_problems(shipment)
    if not text(shipment, "packagingType"):
        problems.append(_missing("requestedShipment.packagingType"))
    problems += _enumerated(shipment, ("pickupType",), PICKUP_TYPES)
    problems += _enumerated(shipment, ("shippingChargesPayment", "paymentType"), PAYMENT_TYPES)
    problems += _enumerated(shipment, ("labelSpecification", "imageType"), IMAGE_TYPES)
    if not text(shipment, "labelSpecification", "labelStockType"):
        problems.append(_missing("requestedShipment.labelSpecification.labelStockType"))
    if text(request, "labelResponseOptions") not in {"LABEL", "URL_ONLY"}:
        problems.append(_missing("labelResponseOptions"))
    return problems


def rate_problems(request: object) -> list[Problem]:
    """Everything that keeps FedEx from quoting; a quote needs no names, phones or streets."""
    shipment = at(request, "requestedShipment")
    problems: list[Problem] = []
    for field in ("shipper", "recipient"):
        address = at(shipment, field, "address")
        problems += [
            _missing(f"requestedShipment.{field}.address.{name}")
            for name in ("countryCode",)
            if not text(address, name)
        ]
        if text(address, "countryCode") in POSTAL_COUNTRIES and not text(address, "postalCode"):
            problems.append(_missing(f"requestedShipment.{field}.address.postalCode"))
    if not rows(shipment, "rateRequestType"):
        problems.append(_missing("requestedShipment.rateRequestType"))
    return problems + _package_problems(shipment)


def party_of(party: object) -> Party:
    """A checked party as the label prints it."""
    address, contact = at(party, "address"), at(party, "contact")
    return Party(
        name=text(contact, "personName"),
        company=text(contact, "companyName"),
        street=", ".join(line for line in rows(address, "streetLines") if isinstance(line, str)),
        city=text(address, "city"),
        region=text(address, "stateOrProvinceCode"),
        postal_code=text(address, "postalCode"),
        country=text(address, "countryCode"),
    )


@dataclass(frozen=True)
class Price:
    """What one package costs, in `currency`: list is before the account's discount, net is what is charged."""

    base: Decimal
    discount: Decimal
    fuel: Decimal
    net: Decimal
    listed: Decimal
    currency: str


def price_of(service: Service, weight_kg: Decimal, currency: str) -> Price:
    """The price of one package: base plus each started kilogram, less the account's discount, plus fuel."""
    started_kg = weight_kg.to_integral_value(rounding=ROUND_CEILING)
    base = (service.base + service.per_kg * started_kg).quantize(CENT, ROUND_HALF_UP)
    discounted = (base * ACCOUNT_DISCOUNT).quantize(CENT, ROUND_HALF_UP)
    fuel = (discounted * FUEL_RATE).quantize(CENT, ROUND_HALF_UP)
    listed = (base * (1 + FUEL_RATE)).quantize(CENT, ROUND_HALF_UP)
    return Price(base, base - discounted, fuel, discounted + fuel, listed, currency)


def currency_of(shipment: object) -> str:
    """The account's currency for a shipment: the preferred one, else the sender's country's, else euro."""
    country = text(shipment, "shipper", "address", "countryCode")
    return text(shipment, "preferredCurrency") or CURRENCIES.get(country, "EUR")
