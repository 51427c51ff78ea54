"""Reserved orders become labels: bought, voided, and fast refusals while a carrier is down."""

import time
from typing import Any

from rappit_demo.client import ApiError, until
from rappit_demo.scene import SKUS, Scene, short

PARCEL = {"weight_kg": "1.2", "length_cm": "30", "width_cm": "20", "height_cm": "10"}
FAILURES_TO_OPEN = 5
FAST_MS = 500
BREAKER_WAIT_S = 90
HTTP_UNAVAILABLE = 503


async def tell(scene: Scene) -> None:
    """Tell the chapter."""
    await closed_breaker(scene)
    scene.story.step("Labels are bought from FedEx and DHL")
    await buy(scene, "fedex", await reserved_order(scene, SKUS[20]))
    dhl = await buy(scene, "dhl", await reserved_order(scene, SKUS[21]))
    scene.story.step("A label is voided, and the carrier confirms it")
    await void(scene, dhl)
    scene.story.step("FedEx fails five times: its breaker opens")
    await breaker(scene)


async def closed_breaker(scene: Scene) -> None:
    """Wait until FedEx may be asked: an earlier telling of this story leaves its breaker open for a minute."""

    async def may_be_asked() -> bool | None:
        carriers: list[dict[str, Any]] = await scene.merchant.api.get("/shipping/carriers")
        return (
            None if any(row["carrier"] == "fedex" and row["breaker"]["state"] == "open" for row in carriers) else True
        )

    if await may_be_asked() is None:
        scene.story.step("FedEx's breaker is still open from the last telling: waiting for it")
        await until(may_be_asked, within_s=BREAKER_WAIT_S, what="FedEx's breaker to let a call through")


async def reserved_order(scene: Scene, sku: str) -> dict[str, Any]:
    """Return a new order that has its stock."""
    order = scene.shop.create_order([(sku, 1, "24.00")])
    started = time.perf_counter()
    await order.deliver()
    seen = await scene.merchant.order_in("shopify", str(order.id), "reserved")
    scene.reserved_after_s.append(time.perf_counter() - started)
    return seen


async def purchase(scene: Scene, carrier: str, order: dict[str, Any]) -> dict[str, Any]:
    """Buy a label for an order at one carrier.

    Raises:
        ApiError: It could not be bought, for the reason it names.
    """
    return await scene.merchant.api.post(
        "/shipping/shipments",
        {
            "order_id": order["id"],
            "carrier_account_id": scene.merchant.carrier_accounts[carrier],
            "label_format": "pdf",
            "parcels": [PARCEL],
        },
        headers={"Idempotency-Key": f"demo-{order['id']}"},
    )


async def buy(scene: Scene, carrier: str, order: dict[str, Any]) -> dict[str, Any]:
    """Buy a label, store its PDF, and see the order become ready to ship and its stock leave."""
    sku = order["lines"][0]["sku"]
    before = await scene.merchant.level(sku)
    shipment = await purchase(scene, carrier, order)
    label = await scene.merchant.api.http.get(f"/shipping/shipments/{shipment['id']}/label")
    label.raise_for_status()
    path = scene.labels / f"{carrier}-{shipment['tracking_number']}.pdf"
    path.write_bytes(label.content)
    seen = await scene.merchant.order_in("shopify", order["external_order_id"], "ready_to_ship")
    scene.story.record(
        f"Label from {carrier}",
        answer=f"201 {shipment['status']}",
        outcome=f"{shipment['tracking_number']}\norder {short(seen)}",
        stock=await scene.stock_line(sku, before),
        more=f"{path}",
        expect=[
            ("shipment", "labelled", shipment["status"]),
            ("a PDF", b"%PDF", label.content[:4]),
            ("tracking number", True, bool(shipment["tracking_number"])),
        ],
    )
    return shipment


async def void(scene: Scene, shipment: dict[str, Any]) -> None:
    """Void a label: our state changes, and the carrier itself says it is cancelled."""
    voided = await scene.merchant.api.post(f"/shipping/shipments/{shipment['id']}/void")
    listed = (await scene.carriers.get("/_control/shipments", params={"carrier": "dhl", "status": "voided"})).json()
    confirmed = [row for row in listed if shipment["tracking_number"] in row.values()]
    order = await scene.merchant.api.get(f"/orders/{shipment['order_id']}")
    seen = await scene.merchant.order_in("shopify", order["external_order_id"], "reserved")
    scene.story.record(
        "Void the DHL label",
        answer=f"200 {voided['status']}",
        outcome=f"DHL has it as {confirmed[0]['status'] if confirmed else 'not voided'}\norder {short(seen)}",
        more=str(shipment["tracking_number"]),
        expect=[("status", "voided", voided["status"]), ("confirmed by the carrier", 1, len(confirmed))],
    )


async def breaker(scene: Scene) -> None:
    """Five failures in a row open FedEx's breaker: the sixth is refused at once and not sent; DHL still works."""
    orders = [await reserved_order(scene, sku) for sku in SKUS[30 : 30 + FAILURES_TO_OPEN + 2]]
    await scene.carriers.post(
        "/_control/faults", json={"carrier": "fedex", "kind": "status", "status": 503, "times": None}
    )
    codes: list[str] = []
    for order in orders[:FAILURES_TO_OPEN]:
        try:
            await purchase(scene, "fedex", order)
            codes.append("bought")
        except ApiError as refusal:
            codes.append(refusal.code)
    calls = await scene.carrier_calls("fedex", "ship")
    started = time.perf_counter()
    try:
        await purchase(scene, "fedex", orders[FAILURES_TO_OPEN])
        refused = None
    except ApiError as refusal:
        refused = refusal
    elapsed_ms = (time.perf_counter() - started) * 1_000
    calls_after = await scene.carrier_calls("fedex", "ship")
    scene.story.record(
        "FedEx fails five times, then a sixth try",
        answer=f"{refused.status} {refused.code}" if refused else "bought",
        outcome=f"{elapsed_ms:.0f} ms: {refused.detail if refused else ''}",
        more=f"{calls_after - calls} further calls to FedEx",
        expect=[
            ("failures", FAILURES_TO_OPEN, len([code for code in codes if code != "bought"])),
            ("status", HTTP_UNAVAILABLE, refused.status if refused else None),
            ("code", "carrier_unavailable", refused.code if refused else None),
            ("fast", True, elapsed_ms < FAST_MS),
            ("calls", calls, calls_after),
        ],
    )
    await buy(scene, "dhl", orders[FAILURES_TO_OPEN + 1])
    await scene.carriers.request("DELETE", "/_control/faults", params={"carrier": "fedex"})
