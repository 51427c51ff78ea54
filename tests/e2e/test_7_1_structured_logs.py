"""7.1: one trace id follows a webhook through every service's JSON logs."""

import json

from rappit_demo.client import until


def lines_of(stack, name, trace_id):
    lines = stack.log(name).read_text().splitlines()
    return [json.loads(line) for line in lines if trace_id in line]


async def test_one_trace_id_from_webhook_to_reservation(stack, scene):
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    order = scene.shop.create_order([("SKU-0019", 1, "1.00")])
    await order.deliver(headers={"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"})
    seen = await scene.merchant.order_in("shopify", str(order.id), "reserved")

    async def traced():
        found = {name: lines_of(stack, name, trace_id) for name in ("webhook-gateway", "orders", "inventory")}
        return found if all(found.values()) else None

    found = await until(traced, what="the trace id in each service's log")
    assert all(line["trace_id"] == trace_id for lines in found.values() for line in lines)
    assert any(line.get("order_id") == seen["id"] for line in found["orders"] + found["inventory"])
