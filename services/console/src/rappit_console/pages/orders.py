"""Orders: the list, one order, and what can be done with it."""

import asyncio
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Form, Query
from fastapi.responses import Response
from pydantic import BaseModel, Field
from rappit_common.clock import new_id
from rappit_common.logs import get_logger

from rappit_console.api_client import ApiError, ApiRefusedError
from rappit_console.formats import words
from rappit_console.pages.desk import Desk, SignedIn
from rappit_console.readers import CarrierAccount, Order, OrderSummary, PageOf, Shipment, Warehouse
from rappit_console.views import Toast

STATES = (
    "received",
    "on_hold",
    "backordered",
    "reserved",
    "ready_to_ship",
    "cancelled",
)
PAGE_ROWS = "25"
MAX_FOLLOWS = 8
FIRST_FOLLOW_MS = 600
UNDER_WAY = {"purchasing", "outcome_unknown", "void_pending"}
TOLD_TO_ORDERS = {"labelled", "voided"}

Text = Annotated[str, Form(max_length=500)]
ShortText = Annotated[str, Field(max_length=500)]
Filter = Annotated[str, Query(max_length=255)]

router = APIRouter(prefix="/console/orders")
labels = APIRouter(prefix="/console/shipments")
_log = get_logger()


class LabelForm(BaseModel):
    """What is asked before a label is bought; what is wrong in it is for the API to say.

    Attributes:
        key: Of this purchase, so that sending the form twice buys once.
    """

    key: UUID
    carrier_account_id: ShortText = ""
    service: ShortText = ""
    warehouse_code: ShortText = ""
    label_format: ShortText = "pdf"
    weight_kg: ShortText = ""
    length_cm: ShortText = ""
    width_cm: ShortText = ""
    height_cm: ShortText = ""
    additional: bool = False


@router.get("")
async def list_orders(
    desk: SignedIn, state: Filter = "", q: Filter = "", cursor: Annotated[str, Query(max_length=512)] = ""
) -> Response:
    """List orders, the newest first; htmx asks for the list alone, or for the rows after a cursor."""
    found = await desk.api.get(
        "/orders", PageOf[OrderSummary], state=state, external_order_id=q.strip(), limit=PAGE_ROWS, cursor=cursor
    )
    following = {"state": state, "q": q, "cursor": found.next_cursor or ""}
    context: dict[str, Any] = {
        "orders": found.items,
        "state": state,
        "q": q,
        "states": STATES,
        "more": f"/console/orders?{urlencode(following)}" if found.next_cursor else None,
    }
    if desk.wants_fragment:
        return desk.fragment("orders/_rows.html" if cursor else "orders/_list.html", **context)
    return desk.page("orders/list.html", **context)


@router.get("/{order_id}")
async def show_order(desk: SignedIn, order_id: UUID) -> Response:
    """Show one order whole."""
    order, shipments, accounts, warehouses = await asyncio.gather(
        desk.api.get(f"/orders/{order_id}", Order),
        _shipments(desk, order_id),
        _carrier_accounts(desk),
        _warehouses(desk),
    )
    return desk.page(
        "orders/detail.html",
        order=order,
        shipments=shipments or order.shipments,
        accounts=accounts,
        warehouses=warehouses,
        key=new_id(),
        new_key=None,
        follow=_follow(order, shipments, 0),
    )


@router.get("/{order_id}/progress")
async def show_progress(
    desk: SignedIn, order_id: UUID, n: Annotated[int, Query(ge=0, le=MAX_FOLLOWS)] = MAX_FOLLOWS
) -> Response:
    """Show the changing part of one order, and ask again a few times, as other services catch up."""
    return await _progress(desk, order_id, n=n)


@router.post("/{order_id}/cancel")
async def cancel_order(desk: SignedIn, order_id: UUID, reason: Text = "") -> Response:
    """Cancel an order."""
    await desk.api.call("POST", f"/orders/{order_id}/cancel", body={"reason": reason})
    return await _progress(desk, order_id, toast="The order is cancelled, and its stock is being released.")


@router.post("/{order_id}/labels")
async def buy_label(desk: SignedIn, order_id: UUID, form: Annotated[LabelForm, Form()]) -> Response:
    """Buy a label; the form's key makes a second click buy nothing."""
    sizes = form.model_dump(include={"weight_kg", "length_cm", "width_cm", "height_cm"})
    body: dict[str, object] = {
        "order_id": str(order_id),
        "carrier_account_id": form.carrier_account_id,
        "label_format": form.label_format,
        "parcels": [{name: number(value) for name, value in sizes.items() if value.strip()}],
    }
    chosen = {"service": form.service.strip(), "warehouse_code": form.warehouse_code.strip()}
    body |= {name: value for name, value in chosen.items() if value}
    if form.additional:
        body["additional"] = True
    try:
        answer = await desk.api.call(
            "POST", "/shipping/shipments", body=body, headers={"Idempotency-Key": str(form.key)}
        )
    except ApiRefusedError as refusal:
        # Refused for good, so the next try is a new one; after an outage the old key must stay, lest it buy twice.
        toast = Toast("error", refusal.detail, refusal.trace_id)
        response = desk.fragment("orders/_key.html", toast=toast, new_key=new_id())
        response.status_code = refusal.status
        response.headers["HX-Reswap"] = "none"
        return response
    shipment = answer.read(Shipment)
    return await _progress(desk, order_id, toast=_bought(shipment), new_key=new_id())


@router.post("/{order_id}/shipments/{shipment_id}/void")
async def void_shipment(desk: SignedIn, order_id: UUID, shipment_id: UUID) -> Response:
    """Void a label at its carrier."""
    shipment = (await desk.api.call("POST", f"/shipping/shipments/{shipment_id}/void")).read(Shipment)
    done = "The label is voided." if shipment.status == "voided" else "The carrier is asked to void the label."
    return await _progress(desk, order_id, toast=done)


@labels.get("/{shipment_id}/label")
async def download_label(desk: SignedIn, shipment_id: UUID) -> Response:
    """Hand a label's file through."""
    answer = await desk.api.call("GET", f"/shipping/shipments/{shipment_id}/label")
    media_type = answer.headers.get("content-type", "application/octet-stream")
    ending = next((e for e in ("pdf", "zpl", "png") if e in media_type), "bin")
    # Built here and not taken over: what reaches a browser's download dialogue is ours.
    headers = {"Content-Disposition": f'attachment; filename="label-{shipment_id}.{ending}"'}
    return Response(answer.content, headers=headers, media_type=media_type)


def number(text: str) -> float | str:
    """Return a number, or the text as it is, for the API to say what is wrong with it."""
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return text


def _bought(shipment: Shipment) -> str:
    """Say what came of a purchase; one that another click began may still be at the carrier."""
    carrier = words(shipment.carrier)
    if shipment.status != "labelled":
        return f"{carrier}: {words(shipment.status).lower()}."
    return f"Label bought: {carrier} {shipment.tracking_number or ''}".strip() + "."


async def _progress(
    desk: Desk, order_id: UUID, *, n: int = 0, toast: str | None = None, new_key: UUID | None = None
) -> Response:
    order, shipments = await asyncio.gather(desk.api.get(f"/orders/{order_id}", Order), _shipments(desk, order_id))
    return desk.fragment(
        "orders/_progress.html",
        toast=Toast("success", toast) if toast else None,
        order=order,
        shipments=shipments or order.shipments,
        new_key=new_key,
        follow=_follow(order, shipments, n),
    )


def _follow(order: Order, shipments: list[Shipment], n: int) -> tuple[str, int] | None:
    """Return the address to ask next and after how many milliseconds: the pauses grow, and they end.

    Nothing is asked of an order at rest: a part of a page that is replaced under the pointer swallows the click.
    """
    if n >= MAX_FOLLOWS or _at_rest(order, shipments):
        return None
    return f"/console/orders/{order.id}/progress?n={n + 1}", FIRST_FOLLOW_MS * (n + 1)


def _at_rest(order: Order, shipments: list[Shipment]) -> bool:
    """Tell whether every service has heard of what the others did to an order."""
    if order.state == "received" or (order.state == "cancelled" and order.allocations):
        return False
    if any(shipment.status in UNDER_WAY for shipment in shipments):
        return False
    done = {shipment.id: shipment.status for shipment in shipments if shipment.status in TOLD_TO_ORDERS}
    return done == {shipment.id: shipment.status for shipment in order.shipments}


async def _shipments(desk: Desk, order_id: UUID) -> list[Shipment]:
    """Return what shipping knows of an order; nothing when shipping is away, for the order tells as much."""
    try:
        found = await desk.api.get("/shipping/shipments", PageOf[Shipment], order_id=str(order_id), limit="100")
    except ApiError as error:
        _log.warning("shipments_not_shown", order_id=str(order_id), error=error.detail)
        return []
    return found.items


async def _carrier_accounts(desk: Desk) -> list[CarrierAccount] | None:
    """Return the carrier accounts, or None when shipping cannot tell."""
    try:
        return (await desk.api.get("/shipping/carrier-accounts", PageOf[CarrierAccount], limit="100")).items
    except ApiError as error:
        _log.warning("carrier_accounts_not_shown", error=error.detail)
        return None


async def _warehouses(desk: Desk) -> list[Warehouse]:
    """Return the warehouses; nothing when inventory is away, for the API then chooses by itself."""
    try:
        return (await desk.api.get("/inventory/warehouses", PageOf[Warehouse], limit="200")).items
    except ApiError as error:
        _log.warning("warehouses_not_shown", error=error.detail)
        return []
