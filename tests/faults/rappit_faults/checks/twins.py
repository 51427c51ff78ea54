"""Twins: a merchant who was told everything once, in order and in peace ends where the shuffled one does."""

import json
from typing import Any

from rappit_demo.merchant import Merchant

from rappit_faults.checks.offence import Offence, Snapshot
from rappit_faults.plan import Plan

_CONTENT = (
    "number",
    "currency",
    "total",
    "payment_state",
    "placed_at",
    "customer_name",
    "customer_email",
    "note",
    "shipping_address",
    "lines",
    "demand",
    "content_changed_at",
    "content_rank",
    "channel_cancelled",
)
_ORDERS = """
    SELECT o.*, o.channel_id::text AS channel,
           (SELECT jsonb_object_agg(sku, units) FROM (
               SELECT s.code AS sku, sum(a.quantity_reserved + a.quantity_committed) AS units
               FROM inventory.allocations a
               JOIN inventory.skus s ON s.organization_id = a.organization_id AND s.id = a.sku_id
               WHERE a.order_id = o.id GROUP BY 1 HAVING sum(a.quantity_reserved + a.quantity_committed) > 0
           ) AS held) AS held
    FROM orders.orders o WHERE o.organization_id::text = $1
"""


async def check_twins(snapshot: Snapshot, shuffled: Merchant, ordered: Merchant, plan: Plan) -> list[Offence]:
    """Compare every order's content and demand, and its state and reservation where they do not depend on others."""
    ours, theirs = await _orders(snapshot, shuffled), await _orders(snapshot, ordered)
    labelled = {(wish.provider, wish.external_order_id) for wish in plan.labels}
    found: list[Offence] = []
    for key in sorted(ours.keys() & theirs.keys()):
        one, other = ours[key], theirs[key]
        compared = list(_CONTENT)
        if key not in plan.scarce_orders and key not in labelled:
            compared += ["state", "hold_reason", "held"]
        for name in compared:
            if _plain(one[name]) != _plain(other[name]):
                provider, external_id = key
                why = f"{name} is {_plain(one[name])!s:.200}, in order it would be {_plain(other[name])!s:.200}"
                found.append(Offence("other", f"order {external_id} of {provider}", why))
    return found


async def _orders(snapshot: Snapshot, merchant: Merchant) -> dict[tuple[str, str], Any]:
    providers = {channel["id"]: provider for provider, channel in merchant.channels.items()}
    rows = await snapshot.fetch(_ORDERS, merchant.organization_id)
    return {(providers.get(row["channel"], "?"), row["external_order_id"]): row for row in rows}


def _plain(value: Any) -> Any:
    # JSON comes as text, in which the order of keys says nothing.
    if isinstance(value, str) and value[:1] in {"{", "["}:
        return json.loads(value)
    return value
