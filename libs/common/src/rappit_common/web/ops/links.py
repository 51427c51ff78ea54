"""From a dead letter to what it is about."""

import json
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import quote, urlencode
from uuid import UUID

HEADER_CHANNEL = "rappit-channel-id"
MAX_LINKED_BODY_BYTES = 1024 * 1024
MAX_ID_CHARACTERS = 255


def order_link(headers: Mapping[str, Any], body: bytes) -> str | None:
    """Return where the order of a message is: by our id, or by the channel's when it is a webhook of one."""
    told = _object(body)
    channel_id = headers.get(HEADER_CHANNEL)
    if channel_id is None:
        order_id = _id(told, "order_id")
        try:
            return f"/orders/{UUID(order_id or '')}"
        except ValueError:
            return None
    # A part of an order (a refund) names the order beside its own id; the Rappit schema names it inside of `data`.
    data = told.get("data")
    inner = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
    external = _id(told, "order_id") or _id(inner, "id") or _id(told, "id")
    if external is None:
        return None
    return "/orders?" + urlencode({"channel_id": str(channel_id), "external_order_id": external})


def webhook_link(headers: Mapping[str, Any], message_id: str) -> str | None:
    """Return where the delivery of a webhook is logged; None for what no channel sent."""
    return f"/channels/deliveries/{quote(message_id, safe='')}" if HEADER_CHANNEL in headers else None


def _object(body: bytes) -> dict[str, Any]:
    if len(body) > MAX_LINKED_BODY_BYTES:
        return {}
    try:
        value: object = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _id(values: Mapping[str, Any], name: str) -> str | None:
    value = values.get(name)
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    told = str(value).strip()
    return told if 0 < len(told) <= MAX_ID_CHARACTERS else None
