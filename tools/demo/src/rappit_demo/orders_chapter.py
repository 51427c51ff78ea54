"""Signed webhooks become orders: new, repeated, edited, cancelled, too large, unknown, forged, poisoned."""

import time
from typing import Any

from rappit_doubles.channels.shopify_payload import shopify_json

from rappit_demo.client import until
from rappit_demo.scene import SKUS, Scene, short, statuses

HTTP_UNAUTHORIZED = 401


async def tell(scene: Scene) -> None:
    """Tell the chapter."""
    scene.story.step("A Shopify, a WooCommerce and a Standard-Webhooks shop send signed webhooks")
    await new_orders(scene)
    await five_identical_webhooks(scene)
    await edit(scene)
    await cancellation(scene)
    await too_large_then_replenished(scene)
    await unknown_sku(scene)
    await forged_signature(scene)
    await poison_mended_and_requeued(scene)


async def new_orders(scene: Scene) -> None:
    """One new order from each kind of channel goes straight to reserved."""
    chosen: tuple[tuple[str, str, Any], ...] = (
        ("shopify", SKUS[0], scene.shop),
        ("woocommerce", SKUS[1], scene.woo),
        ("standard_webhooks", SKUS[2], scene.standard),
    )
    for channel, sku, double in chosen:
        before = await scene.merchant.level(sku)
        order = double.create_order([(sku, 2, "19.90")])
        started = time.perf_counter()
        answers = await order.deliver()
        seen = await scene.merchant.order_in(channel, str(order.id), "reserved")
        scene.reserved_after_s.append(time.perf_counter() - started)
        after = await scene.merchant.level(sku)
        scene.story.record(
            f"New order from {channel}",
            answer=statuses(answers),
            outcome=short(seen),
            stock=await scene.stock_line(sku, before),
            more=f"order {seen['number']}",
            expect=[
                ("status", 200, answers[0].status_code),
                ("state", "reserved", seen["state"]),
                ("available", before["available"] - 2, after["available"]),
                ("reserved", before["reserved"] + 2, after["reserved"]),
            ],
        )


async def five_identical_webhooks(scene: Scene) -> None:
    """The same webhook five times at once is one order and one reservation."""
    sku = SKUS[3]
    before = await scene.merchant.level(sku)
    order = scene.shop.create_order([(sku, 3, "5.00")])
    answers = await order.deliver(times=5, concurrently=True)
    seen = await scene.merchant.order_in("shopify", str(order.id), "reserved")
    found = await scene.merchant.api.items("/orders", external_order_id=str(order.id))
    after = await scene.merchant.level(sku)
    scene.story.record(
        "The same webhook five times at once",
        answer=statuses(answers),
        outcome=f"{len(found)} order, {short(seen)}",
        stock=await scene.stock_line(sku, before),
        more=f"order {seen['number']}",
        expect=[
            ("accepted", 5, sum(answer.is_success for answer in answers)),
            ("orders", 1, len(found)),
            ("order_version", 1, seen["order_version"]),
            ("reserved", before["reserved"] + 3, after["reserved"]),
        ],
    )


async def edit(scene: Scene) -> None:
    """An edit raises one line and removes another: the one reserves more, the other is released."""
    raised, removed = SKUS[4], SKUS[5]
    before = {sku: await scene.merchant.level(sku) for sku in (raised, removed)}
    order = scene.shop.create_order([(raised, 1, "8.00"), (removed, 2, "3.50")])
    await order.deliver()
    await scene.merchant.order_in("shopify", str(order.id), "reserved")
    order.edit({raised: 4}, remove=[removed])
    answers = await order.deliver()

    async def applied() -> dict[str, Any] | None:
        seen = await scene.merchant.find_order("shopify", str(order.id))
        ready = seen is not None and seen["order_version"] == 2 and seen["state"] == "reserved"  # noqa: PLR2004 - the edit is its second version
        level = await scene.merchant.level(raised)
        return seen if ready and level["reserved"] == before[raised]["reserved"] + 4 else None

    seen = await until(applied, what="the edit to be reserved")
    after = {sku: await scene.merchant.level(sku) for sku in (raised, removed)}
    lines = [await scene.stock_line(sku, before[sku]) for sku in (raised, removed)]
    scene.story.record(
        f"Edit: {raised} 1 → 4, {removed} removed",
        answer=statuses(answers),
        outcome=short(seen),
        stock="\n".join(lines),
        more=f"order {seen['number']}",
        expect=[
            ("status", 200, answers[0].status_code),
            (f"{raised} reserved", before[raised]["reserved"] + 4, after[raised]["reserved"]),
            (f"{removed} reserved", before[removed]["reserved"], after[removed]["reserved"]),
        ],
    )


async def cancellation(scene: Scene) -> None:
    """A cancelled order gives all its stock back."""
    sku = SKUS[6]
    before = await scene.merchant.level(sku)
    order = scene.shop.create_order([(sku, 5, "12.00")])
    await order.deliver()
    await scene.merchant.order_in("shopify", str(order.id), "reserved")
    held = await scene.merchant.level(sku)
    order.cancel()
    answers = await order.deliver()
    seen = await scene.merchant.order_in("shopify", str(order.id), "cancelled")

    async def released() -> dict[str, int] | None:
        level = await scene.merchant.level(sku)
        return level if level == before else None

    after = await until(released, what="the stock to be released")
    scene.story.record(
        "Cancellation",
        answer=statuses(answers),
        outcome=short(seen),
        stock=f"{sku}\navailable {before['available']} → {held['available']} → {after['available']}",
        more=f"order {seen['number']}",
        expect=[("held", before["reserved"] + 5, held["reserved"]), ("released", before, after)],
    )


async def too_large_then_replenished(scene: Scene) -> None:
    """An order larger than the stock waits, with the exact shortage, and is filled when stock arrives."""
    sku = SKUS[7]
    before = await scene.merchant.level(sku)
    order = scene.shop.create_order([(sku, 25, "2.00")])
    answers = await order.deliver()
    waiting = await scene.merchant.order_in("shopify", str(order.id), "backordered")
    reason = (waiting["hold"] or {}).get("message", "")
    still = await scene.merchant.level(sku)
    scene.story.record(
        "An order too large for the stock",
        answer=statuses(answers),
        outcome=f"{short(waiting)}\n{reason}",
        stock=await scene.stock_line(sku, before),
        more=f"order {waiting['number']}",
        expect=[("nothing reserved", before, still), ("reason named", True, "Insufficient stock" in reason)],
    )
    await scene.merchant.api.post(
        "/inventory/adjustments",
        {"sku": sku, "warehouse_code": "BER", "delta": 20, "reason": "delivery from the supplier"},
    )
    filled = await scene.merchant.order_in("shopify", str(order.id), "reserved")
    after = await scene.merchant.level(sku)
    scene.story.record(
        "… and 20 more arrive in BER",
        answer="201",
        outcome=short(filled),
        stock=await scene.stock_line(sku, before),
        more=f"order {filled['number']}",
        expect=[("reserved", 25, after["reserved"]), ("available", before["available"] + 20 - 25, after["available"])],
    )


async def unknown_sku(scene: Scene) -> None:
    """An order with a SKU nobody knows is held with the reason, until the SKU is there."""
    order = scene.woo.create_order([("MYSTERY-1", 1, "99.00")])
    answers = await order.deliver()
    seen = await scene.merchant.order_in("woocommerce", str(order.id), "on_hold")
    hold: dict[str, Any] = seen["hold"] or {}
    scene.story.record(
        "An order with an unknown SKU",
        answer=statuses(answers),
        outcome=f"{short(seen)}\n{hold.get('message')}",
        more=f"order {seen['number']}",
        expect=[("reason", "unknown_sku", hold.get("reason"))],
    )


async def forged_signature(scene: Scene) -> None:
    """A webhook with a forged signature is refused, and nothing comes of it."""
    order = scene.shop.create_order([(SKUS[8], 1, "1.00")])
    answers = await order.deliver(forge=True)
    # A good one sent after it has gone all the way, so the forged one would have too.
    later = scene.shop.create_order([(SKUS[8], 1, "1.00")])
    await later.deliver()
    await scene.merchant.order_in("shopify", str(later.id), "reserved")
    seen = await scene.merchant.find_order("shopify", str(order.id))
    scene.story.record(
        "A forged signature",
        answer=f"{statuses(answers)} {answers[0].json().get('code')}",
        outcome="refused, no order",
        expect=[("status", HTTP_UNAUTHORIZED, answers[0].status_code), ("order", None, seen)],
    )


async def poison_mended_and_requeued(scene: Scene) -> None:
    """A signed body that is cut off is accepted, becomes a dead letter, and is an order once its body is mended."""
    sku = SKUS[9]
    before = await scene.merchant.level(sku)
    order = scene.shop.create_order([(sku, 1, "7.00")])
    answers = await order.deliver(body_override=b'{"id": ' + str(order.id).encode() + b', "line_items": [{"sku"')
    organization_id = scene.merchant.organization_id

    async def dead() -> dict[str, Any] | None:
        rows = (await scene.operator.get("/orders/ops/dead-letters", status="dead"))["items"]
        return next((row for row in rows if row["organization_id"] == organization_id), None)

    letter = await until(dead, what="the dead letter")
    scene.story.record(
        "A signed webhook whose body is poison",
        answer=statuses(answers),
        outcome=f"dead letter: {letter['error_type']}\n{letter['error_message']}",
        more=f"{letter['queue']}\n{letter['id']}",
        expect=[("status", 200, answers[0].status_code), ("attempts", 1, letter["attempts"])],
    )
    # The shop's body, whole: what the operator would paste after asking the shop for it.
    mended = shopify_json(order.payload()).decode()
    await scene.operator.post(
        f"/orders/ops/dead-letters/{letter['id']}/requeue",
        {"body": mended, "reason": "body was cut off; the shop sent us the whole one"},
    )
    seen = await scene.merchant.order_in("shopify", str(order.id), "reserved")

    async def requeued() -> dict[str, Any] | None:
        row = await scene.operator.get(f"/orders/ops/dead-letters/{letter['id']}")
        return row if row["status"] == "requeued" else None

    row = await until(requeued, what="the requeue to be confirmed")
    after = await scene.merchant.level(sku)
    scene.story.record(
        "… the cause mended, and requeued",
        answer="202",
        outcome=f"{row['status']}, order {short(seen)}",
        stock=await scene.stock_line(sku, before),
        more=f"order {seen['number']}",
        expect=[("reserved", before["reserved"] + 1, after["reserved"])],
    )
