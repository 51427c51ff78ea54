"""The body of ``POST /orders``: read by the channels' reader, described for people here."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request

from rappit_orders.domain.channels.standard import TYPES, read_order
from rappit_orders.domain.commands import ReceiveOrder
from rappit_orders.domain.values import PaymentState
from rappit_orders.endpoints.dependencies import Now


@dataclass(frozen=True, slots=True)
class Placement:
    """What a request asks of an order, and its bytes."""

    command: ReceiveOrder
    body: bytes


async def read_placement(request: Request, now: Now) -> Placement:
    """Receive the body and read it. Asked for before the unit, so that a slow sender holds no transaction."""
    body = await request.body()
    return Placement(read_order(body, now), body)


AskedPlacement = Annotated[Placement, Depends(read_placement)]


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties}


def _nullable(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": [kind, "null"], **more}


_TEXT = {"type": "string"}
_TIME = _nullable("string", format="date-time")
_MONEY = {"type": "string", "description": "Decimal string.", "examples": ["12.50"]}
_PLACE = ("name", "company", "line1", "line2", "city", "region", "postal_code", "country_code", "phone", "email")
_LINE = _object(
    ["id", "quantity", "unit_price"],
    id={"type": "string", "description": "Unique within the order."},
    sku=_nullable("string", description="Without one, the order is held until it is told."),
    name=_nullable("string"),
    quantity={"type": "integer", "minimum": 0},
    unit_price=_MONEY,
    requires_shipping=_nullable("boolean"),
)
_ORDER = _object(
    ["id", "currency", "total", "lines"],
    id={"type": "string", "maxLength": 255, "description": "Your own, unique among your orders by the API."},
    number=_nullable("string", description="What people call it; the id when there is none."),
    currency={"type": "string", "description": "ISO 4217.", "examples": ["EUR"]},
    total=_MONEY,
    created_at=_TIME,
    updated_at={**_TIME, "description": "Of two messages the one with the later `updated_at` is the truth."},
    cancelled_at=_TIME,
    payment_status=_nullable("string", enum=[*PaymentState, None]),
    customer={**_object([], name=_nullable("string"), email=_nullable("string")), "type": ["object", "null"]},
    shipping_address={
        **_object([], **{name: _nullable("string") for name in _PLACE}),
        "type": ["object", "null"],
        "description": "Null when there is nothing to ship; `country_code` is ISO 3166-1 alpha-2.",
    },
    lines={"type": "array", "maxItems": 5_000, "items": _LINE},
    note=_nullable("string"),
)
DESCRIBED_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": _object(
                    ["type", "data"],
                    type={**_TEXT, "enum": list(TYPES)},
                    timestamp={**_TIME, "description": "When it was said; stands in for a missing `updated_at`."},
                    data=_ORDER,
                )
            }
        },
    }
}
