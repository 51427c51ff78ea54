"""Karrio's mappers, and nothing else of it: the one module that imports it.

Its transport has no timeouts, loses the HTTP status and may send twice, so it is never used (docs/adr/0009-carriers).
Importing it switches TLS verification off for the whole process, which is undone here before anything else can run. It
also logs in colours of its own, which is brought into our JSON lines.
"""

import logging
import ssl
import warnings
from typing import Any, cast

from rappit_shipping.domain.carrier import Address, Credentials, LabelOrder

_verifying = ssl._create_default_https_context  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - what Karrio replaces
try:
    with warnings.catch_warnings():
        # Its dependencies warn about themselves while they are imported.
        warnings.simplefilter("ignore")
        import attr
        from karrio import lib
        from karrio.core import models
        from karrio.mappers.dhl_parcel_de.mapper import Mapper as DhlMapper
        from karrio.mappers.dhl_parcel_de.settings import Settings as _DhlSettings
        from karrio.mappers.fedex.mapper import Mapper as FedexMapper
        from karrio.mappers.fedex.settings import Settings as _FedexSettings
        from loguru import logger as _karrio_logger
finally:
    ssl._create_default_https_context = _verifying  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


class _IntoOurLogs(logging.Handler):
    """Hands Karrio's records to the standard library's loggers, which write ours."""

    def emit(self, record: logging.LogRecord) -> None:
        logging.getLogger("karrio").handle(record)


_karrio_logger.remove()
_karrio_logger.add(_IntoOurLogs(), level="WARNING", format="{message}")


@attr.s(auto_attribs=True)
class FedexSettings(_FedexSettings):
    """One FedEx account at a server of our choice."""

    base_url: str = ""

    @property
    def server_url(self) -> str:  # pyright: ignore[reportIncompatibleMethodOverride] - theirs names two servers
        """Where this account's calls go."""
        return self.base_url


@attr.s(auto_attribs=True)
class DhlSettings(_DhlSettings):
    """One DHL account at a server of our choice."""

    base_url: str = ""

    @property
    def server_url(self) -> str:  # pyright: ignore[reportIncompatibleMethodOverride] - theirs names two servers
        """Where this account's calls go."""
        return f"{self.base_url}/parcel/de/shipping"


def fedex_mapper(credentials: Credentials, base_url: str) -> Any:
    """Return Karrio's mapper for one FedEx account."""
    settings = FedexSettings(
        api_key=credentials["client_id"],
        secret_key=credentials["client_secret"],
        account_number=credentials["account_number"],
        base_url=base_url,
    )
    return FedexMapper(settings)


def dhl_mapper(credentials: Credentials, base_url: str) -> Any:
    """Return Karrio's mapper for one DHL account."""
    settings = DhlSettings(
        username=credentials["username"],
        password=credentials["password"],
        client_id=credentials["api_key"],
        client_secret=credentials["api_secret"],
        config={"default_billing_number": credentials["billing_number"]},
        base_url=base_url,
    )
    return DhlMapper(settings)


def _address(address: Address) -> dict[str, Any]:
    return {
        "person_name": address.name,
        "company_name": address.company,
        "address_line1": address.line1,
        "address_line2": address.line2,
        "city": address.city,
        "state_code": address.region,
        "postal_code": address.postal_code,
        "country_code": address.country_code,
        "phone_number": address.phone,
        "email": address.email,
    }


def shipment_request(order: LabelOrder, *, service: str, label_type: str) -> Any:
    """Return Karrio's unified request for a label."""
    parcels: list[dict[str, Any]] = []
    for parcel in order.parcels:
        told: dict[str, Any] = {"weight": float(parcel.weight_kg), "weight_unit": "KG"}
        if parcel.length_cm is not None and parcel.width_cm is not None and parcel.height_cm is not None:
            told |= {
                "length": float(parcel.length_cm),
                "width": float(parcel.width_cm),
                "height": float(parcel.height_cm),
                "dimension_unit": "CM",
            }
        parcels.append(told)
    return lib.to_object(
        models.ShipmentRequest,
        {
            "service": service,
            "shipper": _address(order.shipper),
            "recipient": _address(order.recipient),
            "parcels": parcels,
            # Without it FedEx's mapper fails.
            "payment": {"paid_by": "sender"},
            "reference": order.reference,
            "label_type": label_type,
        },
    )


def cancel_request(tracking_number: str) -> Any:
    """Return Karrio's unified request to give one label back; never several, which it encodes wrongly for DHL."""
    return models.ShipmentCancelRequest(shipment_identifier=tracking_number)


def parsed(parse: Any, body: Any, ctx: Any = None) -> tuple[Any, list[Any]]:
    """Return what a mapper's ``parse_*`` makes of a JSON answer: details (or None) and messages."""
    details, messages = parse(lib.Deserializable(body, cast("Any", lib.to_dict), ctx))
    return details, list(messages)


def sentence(messages: list[Any]) -> str:
    """Return the carrier's own words out of Karrio's messages, without the repetitions."""
    told: list[str] = []
    for message in messages:
        text = str(message.message or message.code or "").strip()
        if text and text not in told:
            told.append(text)
    return " ".join(told)
