"""The shapes FedEx answers in."""

import uuid
from decimal import Decimal
from typing import Any, Final

from fastapi import Request

from rappit_doubles.carriers.fedex_checks import KG_PER_LB, SERVICES, Price
from rappit_doubles.carriers.labels import LabelContent, encoded_label
from rappit_doubles.carriers.store import Shipment

SERVICE_CATEGORY: Final = "EXPRESS"
GROUND: Final = frozenset({"FEDEX_GROUND", "GROUND_HOME_DELIVERY"})


def transaction_ids(request: Request) -> dict[str, str]:
    """FedEx's id of this call, and the caller's own if it sent one: echoed, never deduplicated on."""
    ids = {"transactionId": str(uuid.uuid4())}
    echoed = request.headers.get("x-customer-transaction-id")
    return {**ids, "customerTransactionId": echoed} if echoed else ids


def piece_label(shipment: Shipment, index: int, weight_kg: Decimal, stock: str) -> str:
    """The base64 label of one piece."""
    content = LabelContent(
        carrier_name="FedEx",
        service=shipment.service,
        tracking_number=shipment.pieces[index],
        shipper=shipment.shipper,
        recipient=shipment.recipient,
        weight=f"{weight_kg:.2f} kg",
        reference=shipment.reference,
        piece=f"{index + 1} of {len(shipment.pieces)}",
    )
    return encoded_label(content, file_format=shipment.label_format, stock=stock)


def piece_response(shipment: Shipment, index: int, price: Price, document: dict[str, str]) -> dict[str, Any]:
    """One entry of `pieceResponses`; `document` is the label or the link to it."""
    return {
        "masterTrackingNumber": shipment.tracking_number,
        "trackingNumber": shipment.pieces[index],
        "trackingIdType": "FEDEX",
        "packageSequenceNumber": index + 1,
        "serviceCategory": SERVICE_CATEGORY,
        "successful": True,
        "currency": price.currency,
        "baseRateAmount": float(price.base),
        "netDiscountAmount": float(price.discount),
        "netChargeAmount": float(price.net),
        "netRateAmount": float(price.net),
        "netListRateAmount": float(price.listed),
        "additionalChargesDiscount": 0.0,
        "codcollectionAmount": 0.0,
        "packageDocuments": [
            {"contentType": "LABEL", "copiesToPrint": 1, "docType": shipment.label_format, **document}
        ],
        "customerReferences": [
            {"customerReferenceType": "CUSTOMER_REFERENCE", "value": value} for value in shipment.references[:1]
        ],
    }


def transaction(
    shipment: Shipment, ship_date: str, pieces: list[dict[str, Any]], prices: list[Price]
) -> dict[str, Any]:
    """One entry of `transactionShipments`."""
    service = SERVICES[shipment.service]
    rate = {
        "rateType": "PAYOR_ACCOUNT_PACKAGE",
        "totalBaseCharge": float(sum(price.base for price in prices)),
        "totalSurcharges": float(sum(price.fuel for price in prices)),
        "totalNetCharge": float(sum(price.net for price in prices)),
        "totalBillingWeight": {"units": "LB", "value": float(round(shipment.weight_kg / KG_PER_LB, 1))},
        "currency": shipment.currency,
    }
    return {
        "masterTrackingNumber": shipment.tracking_number,
        "serviceType": shipment.service,
        "serviceName": service.name,
        "serviceCategory": SERVICE_CATEGORY,
        "shipDatestamp": ship_date or f"{shipment.created_at:%Y-%m-%d}",
        "pieceResponses": pieces,
        "completedShipmentDetail": {
            "carrierCode": "FDXG" if shipment.service in GROUND else "FDXE",
            "usDomestic": shipment.shipper.country == shipment.recipient.country == "US",
            "masterTrackingId": {"trackingIdType": "FEDEX", "trackingNumber": shipment.tracking_number},
            "shipmentRating": {"actualRateType": "PAYOR_ACCOUNT_PACKAGE", "shipmentRateDetails": [rate]},
        },
    }


def rated(rate_type: str, prices: list[Price]) -> dict[str, Any]:
    """One entry of `ratedShipmentDetails`: the account's price, or the list price."""
    is_account = rate_type == "ACCOUNT"
    net = float(sum(price.net if is_account else price.listed for price in prices))
    fuel = float(sum(price.fuel for price in prices))
    return {
        "rateType": rate_type,
        "ratedWeightMethod": "ACTUAL",
        "totalBaseCharge": float(sum(price.base for price in prices)),
        "totalDiscounts": float(sum(price.discount for price in prices)) if is_account else 0.0,
        "totalNetCharge": net,
        "totalNetFedExCharge": net,
        "currency": prices[0].currency,
        "shipmentRateDetail": {
            "rateZone": "05",
            "currency": prices[0].currency,
            "totalSurcharges": fuel,
            "surCharges": [{"type": "FUEL", "description": "Fuel Surcharge", "amount": fuel}],
        },
    }
