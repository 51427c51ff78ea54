"""What the carriers tell of a parcel on its way."""

from typing import Any, Final
from xml.etree import ElementTree as ET

from rappit_doubles.carriers.store import ScanEvent, Shipment

FEDEX_CODES: Final = {
    "OC": "Shipment information sent to FedEx",
    "PU": "Picked up",
    "IT": "In transit",
    "OD": "On FedEx vehicle for delivery",
    "DE": "Delivery exception",
    "DL": "Delivered",
    "CA": "Shipment cancelled by sender",
}
# DHL's international codes of events ("ICE"), as its tracking service names them.
DHL_CODES: Final = {
    "ES": "The shipment data was transmitted electronically",
    "PCKDU": "The shipment was collected",
    "SRTED": "The shipment was sorted in the parcel centre",
    "ULFMV": "The shipment was unloaded at the delivery base",
    "DLVRD": "The shipment was delivered",
}


def events_of(shipment: Shipment) -> list[ScanEvent]:
    """A shipment's scans, oldest first, with the one every label starts with and the one every void ends with."""
    country = shipment.shipper.country
    first_code = "OC" if shipment.carrier == "fedex" else "ES"
    sentences = FEDEX_CODES if shipment.carrier == "fedex" else DHL_CODES
    first = ScanEvent(first_code, sentences[first_code], shipment.shipper.city, country, shipment.created_at)
    events = [first, *shipment.events]
    if shipment.status == "voided" and shipment.carrier == "fedex":
        events.append(ScanEvent("CA", FEDEX_CODES["CA"], shipment.shipper.city, country, events[-1].at))
    return events


def fedex_track_result(
    number: str, shipment: Shipment | None, *, unknown_code: str = "TRACKING.TRACKINGNUMBER.NOTFOUND"
) -> dict[str, Any]:
    """One entry of `completeTrackResults`; FedEx reports an unknown number inside it and not by status."""
    if shipment is None:
        error = {"code": unknown_code, "message": "This number is not known. Please check it and try again."}
        result: dict[str, Any] = {"trackingNumberInfo": {"trackingNumber": number}, "error": error}
        return {"trackingNumber": number, "trackResults": [result]}
    events = events_of(shipment)
    last = events[-1]
    result = {
        "trackingNumberInfo": {"trackingNumber": number, "trackingNumberUniqueId": "", "carrierCode": "FDXE"},
        "additionalTrackingInfo": {
            "packageIdentifiers": [{"type": "CUSTOMER_REFERENCE", "values": shipment.references}],
            "hasAssociatedShipments": len(shipment.pieces) > 1,
        },
        "latestStatusDetail": {
            "code": last.code,
            "derivedCode": last.code,
            "statusByLocale": last.description,
            "description": last.description,
            "scanLocation": {"city": last.city, "countryCode": last.country},
        },
        "scanEvents": [
            {
                "date": event.at.isoformat(timespec="seconds"),
                "eventType": event.code,
                "eventDescription": event.description,
                "derivedStatusCode": event.code,
                "scanLocation": {"city": event.city, "countryCode": event.country},
            }
            for event in reversed(events)
        ],
        "serviceDetail": {"type": shipment.service, "description": shipment.service.replace("_", " ").title()},
        "shipmentDetails": {"weight": [{"unit": "KG", "value": str(shipment.weight_kg)}]},
        "destinationLocation": {
            "locationContactAndAddress": {
                "address": {"postalCode": shipment.recipient.postal_code, "countryCode": shipment.recipient.country}
            }
        },
        "originLocation": {
            "locationContactAndAddress": {
                "address": {"postalCode": shipment.shipper.postal_code, "countryCode": shipment.shipper.country}
            }
        },
    }
    return {"trackingNumber": number, "trackResults": [result]}


def dhl_tracking_xml(shipments: list[Shipment]) -> bytes:
    """DHL's answer to `d-get-piece-detail`; code 100 when nothing is known of what was asked."""
    if not shipments:
        root = ET.Element("data", {"name": "piece-shipment-list", "code": "100", "error": "No data found"})
        return ET.tostring(root, encoding="utf-8", xml_declaration=True)
    root = ET.Element("data", {"name": "piece-shipment-list", "code": "0", "request-id": "double"})
    for shipment in shipments:
        events = events_of(shipment)
        piece = ET.SubElement(
            root,
            "data",
            {
                "name": "piece-shipment",
                "error-status": "0",
                "piece-code": shipment.tracking_number,
                "searched-piece-code": shipment.tracking_number,
                "piece-customer-reference": shipment.reference or "",
                "product-code": shipment.service,
                "product-name": shipment.service,
                "recipient-name": shipment.recipient.name,
                "pan-recipient-postalcode": shipment.recipient.postal_code,
                "dest-country": shipment.recipient.country,
                "origin-country": shipment.shipper.country,
                "shipment-weight": str(shipment.weight_kg),
                "delivery-event-flag": "1" if events[-1].code == "DLVRD" else "0",
                "ice": events[-1].code,
            },
        )
        listed = ET.SubElement(piece, "data", {"name": "piece-event-list"})
        for event in events:
            ET.SubElement(
                listed,
                "data",
                {
                    "name": "piece-event",
                    "event-timestamp": f"{event.at:%d.%m.%Y %H:%M}",
                    "event-status": event.description,
                    "event-location": event.city,
                    "event-country": event.country,
                    "ice": event.code,
                },
            )
    return ET.tostring(root, encoding="utf-8", xml_declaration=True)


def dhl_tracking_query(xml: str) -> dict[str, str] | None:
    """The attributes of a tracking request; None when it is no XML."""
    try:
        # Parses a caller's query on a private test server; expat refuses entity bombs and loads nothing external.
        return dict(ET.fromstring(xml).attrib)  # noqa: S314
    except ET.ParseError:
        return None
