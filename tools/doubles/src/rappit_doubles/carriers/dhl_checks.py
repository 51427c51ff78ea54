"""What DHL Parcel DE demands of a shipment, and how it says what is wrong."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from rappit_doubles.carriers.store import Party
from rappit_doubles.carriers.trees import at, number, rows, text

# Product code to the two digit procedure inside the billing number (customer 10 digits, procedure 2, participation 2).
PROCEDURES: Final = {"V01PAK": "01", "V53WPAK": "53", "V54EPAK": "54", "V62KP": "62", "V66WPI": "66", "V07PAK": "07"}
DOMESTIC: Final = frozenset({"V01PAK", "V62KP", "V07PAK"})
MAX_WEIGHT_KG: Final = Decimal("31.5")
GRAMS_PER_KG: Final = 1_000
REFERENCE_CHARS: Final = (8, 35)
MAX_HOUSE_CHARS: Final = 10
EU: Final = frozenset(
    [
        "AUT",
        "BEL",
        "BGR",
        "HRV",
        "CYP",
        "CZE",
        "DNK",
        "EST",
        "FIN",
        "FRA",
        "DEU",
        "GRC",
        "HUN",
        "IRL",
        "ITA",
        "LVA",
        "LTU",
        "LUX",
        "MLT",
        "NLD",
        "POL",
        "PRT",
        "ROU",
        "SVK",
        "SVN",
        "ESP",
        "SWE",
    ]
)


@dataclass(frozen=True)
class Finding:
    """One entry of `validationMessages`: an error stops the label, a warning only rides along."""

    property: str
    message: str
    state: str = "Error"

    def told(self) -> dict[str, str]:
        """The finding in DHL's shape."""
        return {"property": self.property, "validationMessage": self.message, "validationState": self.state}


def weight_kg(shipment: object) -> Decimal | None:
    """A shipment's weight in kilograms; None when it has none that can be read."""
    value = number(shipment, "details", "weight", "value")
    divisor = {"kg": 1, "g": GRAMS_PER_KG}.get(text(shipment, "details", "weight", "uom"))
    return value / divisor if value is not None and value > 0 and divisor is not None else None


def _address_findings(party: object, field: str) -> list[Finding]:
    findings = [
        Finding(f"{field}.{name}", f"Please enter a value for {field}.{name}.")
        for name in ("name1", "addressStreet", "city", "country")
        if not text(party, name) and not (name == "name1" and text(party, "name"))
    ]
    country, postal_code = text(party, "country"), text(party, "postalCode")
    if country and not re.fullmatch(r"[A-Z]{3}", country):
        findings.append(Finding(f"{field}.country", "The country must be a three letter code (ISO 3166-1 alpha-3)."))
    if country == "DEU" and not re.fullmatch(r"[0-9]{5}", postal_code):
        findings.append(Finding(f"{field}.postalCode", "The postal code must have five digits."))
    if len(text(party, "addressHouse")) > MAX_HOUSE_CHARS:
        findings.append(Finding(f"{field}.addressHouse", f"At most {MAX_HOUSE_CHARS} characters are allowed."))
    return findings


def _routing_findings(consignee: object, *, must_encode: bool) -> list[Finding]:
    if text(consignee, "country") != "DEU":
        return []
    has_house = bool(text(consignee, "addressHouse") or re.search(r"\d", text(consignee, "addressStreet")))
    # No German postal code starts with 00, so no parcel centre serves it.
    if has_house and not text(consignee, "postalCode").startswith("00"):
        return []
    state = "Error" if must_encode else "Warning"
    return [Finding("consignee", "The address cannot be encoded for automatic sorting.", state)]


def _billing_findings(shipment: object, ekp: str) -> list[Finding]:
    product, billing_number = text(shipment, "product"), text(shipment, "billingNumber")
    if product not in PROCEDURES:
        return [Finding("product", f"The product {product or '(none)'} is unknown.")]
    if not re.fullmatch(r"[0-9]{10}[0-9]{2}[0-9A-Za-z]{2}", billing_number):
        return [Finding("billingNumber", "The billing number must have 14 characters.")]
    if not billing_number.startswith(ekp):
        return [Finding("billingNumber", "The billing number does not belong to the signed-in customer.")]
    if billing_number[10:12] != PROCEDURES[product]:
        return [Finding("billingNumber", "The billing number does not fit the product.")]
    return []


def shipment_findings(shipment: object, *, ekp: str, must_encode: bool) -> list[Finding]:
    """Everything DHL finds about one shipment; it is sold when no finding is an error."""
    findings = _billing_findings(shipment, ekp)
    findings += _address_findings(at(shipment, "shipper"), "shipper")
    consignee = at(shipment, "consignee")
    is_drop_point = any(text(consignee, name) for name in ("lockerID", "retailID", "poBoxID"))
    findings += [] if is_drop_point else _address_findings(consignee, "consignee")
    findings += [] if is_drop_point else _routing_findings(consignee, must_encode=must_encode)
    reference = text(shipment, "refNo")
    if reference and not REFERENCE_CHARS[0] <= len(reference) <= REFERENCE_CHARS[1]:
        low, high = REFERENCE_CHARS
        findings.append(Finding("refNo", f"The reference must have {low} to {high} characters."))
    weight = weight_kg(shipment)
    if weight is None:
        findings.append(Finding("details.weight", "Please enter a weight above zero in kg or g."))
    elif weight > MAX_WEIGHT_KG:
        findings.append(Finding("details.weight", f"The weight exceeds the limit of {MAX_WEIGHT_KG} kg."))
    country = text(consignee, "country")
    if country and (country == "DEU") != (text(shipment, "product") in DOMESTIC):
        findings.append(Finding("product", "The product cannot be used for this destination."))
    if country and country not in EU and not rows(shipment, "customs", "items"):
        findings.append(Finding("customs", "Customs details are required for this destination."))
    return findings


def party_of(party: object) -> Party:
    """A checked party as the label prints it."""
    return Party(
        name=text(party, "name2") or text(party, "name1") or text(party, "name"),
        company=text(party, "name1") if text(party, "name2") else "",
        street=" ".join(part for part in (text(party, "addressStreet"), text(party, "addressHouse")) if part),
        city=text(party, "city"),
        region=text(party, "state"),
        postal_code=text(party, "postalCode"),
        country=text(party, "country"),
    )


def status_block(code: int, detail: str) -> dict[str, Any]:
    """DHL's `status` (and, within an item, `sstatus`) object."""
    titles = {200: "OK", 207: "Multi-Status", 400: "Bad Request", 404: "Not Found"}
    return {"title": titles[code], "statusCode": code, "status": code, "detail": detail}
