"""How Shopify writes JSON, money, times and addresses."""

import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from rappit_doubles.channels.values import Address, money


def shopify_json(payload: Mapping[str, Any]) -> bytes:
    """JSON as Shopify's Rails writes it: UTF-8 as it is, but `&`, `<` and `>` escaped."""
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e").encode()


def stamp(moment: datetime) -> str:
    """A time with seconds and an offset."""
    return moment.isoformat(timespec="seconds")


def price_set(amount: Decimal, currency: str) -> dict[str, Any]:
    """An amount in the shop's and the buyer's currency, which are one here."""
    told = {"amount": money(amount), "currency_code": currency}
    return {"shop_money": told, "presentment_money": dict(told)}


def address_json(address: Address) -> dict[str, Any]:
    """A shipping or billing address."""
    return {
        "first_name": address.first_name,
        "last_name": address.last_name,
        "name": address.name,
        "company": address.company,
        "address1": address.line1,
        "address2": address.line2,
        "city": address.city,
        "province": address.region,
        "province_code": address.region_code,
        "zip": address.postal_code,
        "country": address.country,
        "country_code": address.country_code,
        "phone": address.phone,
        "latitude": None,
        "longitude": None,
    }
