"""Orders: one for each that a channel told of, with one live reservation, and the same to every service."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

from rappit_demo.merchant import Merchant

from rappit_faults.checks.offence import Offence, Snapshot
from rappit_faults.plan import Plan

_ORDERS = """
    SELECT o.id::text, o.channel_id::text, o.external_order_id, o.state, o.order_version, o.demand, o.reservation,
           d.order_version AS inventory_version, d.status AS inventory_status, d.reservation_version
    FROM orders.orders o LEFT JOIN inventory.demands d ON d.order_id = o.id
    WHERE o.organization_id::text = $1
"""
_HELD = """
    SELECT a.order_id::text, lower(s.code) AS sku, sum(a.quantity_reserved) AS reserved,
           sum(a.quantity_committed) AS committed
    FROM inventory.allocations a JOIN inventory.skus s ON s.organization_id = a.organization_id AND s.id = a.sku_id
    WHERE a.organization_id::text = $1 GROUP BY 1, 2
"""
_LINES = """
    SELECT order_id::text, lower(sku_code) AS sku, sum(quantity) AS quantity
    FROM inventory.demand_lines WHERE organization_id::text = $1 GROUP BY 1, 2
"""
# Every row that names an order, in whichever service: its organization must be the order's, and the order must exist.
_ASTRAY = """
    SELECT what, r.order_id::text, r.organization_id::text, o.organization_id::text AS owner
    FROM (
        SELECT 'inventory.demands' AS what, order_id, organization_id FROM inventory.demands
        UNION ALL SELECT 'inventory.demand_lines', order_id, organization_id FROM inventory.demand_lines
        UNION ALL SELECT 'inventory.allocations', order_id, organization_id FROM inventory.allocations
        UNION ALL SELECT 'inventory.applied_shipments', order_id, organization_id FROM inventory.applied_shipments
        UNION ALL SELECT 'shipping.orders', order_id, organization_id FROM shipping.orders
        UNION ALL SELECT 'shipping.shipments', order_id, organization_id FROM shipping.shipments
        UNION ALL SELECT 'orders.order_events', order_id, organization_id FROM orders.order_events
                  WHERE order_id IS NOT NULL
    ) AS r LEFT JOIN orders.orders o ON o.id = r.order_id
    WHERE o.id IS NULL OR o.organization_id <> r.organization_id
"""
_CHANNELS = """
    SELECT o.id::text, o.organization_id::text, o.channel_id::text, c.organization_id::text AS owner
    FROM orders.orders o LEFT JOIN gateway.channels c ON c.id = o.channel_id
    WHERE o.channel_id IS NOT NULL AND (c.id IS NULL OR c.organization_id <> o.organization_id)
"""
_SETTLED = {"reserved", "backordered", "on_hold", "released"}


def api_channel_id(organization_id: str) -> str:
    """Return the channel of an organization's orders by the API, as orders' README says it."""
    return str(uuid5(UUID(organization_id), "rappit.orders.api"))


@dataclass(frozen=True, slots=True)
class Told:
    """One merchant and what was told of its orders."""

    merchant: Merchant
    plan: Plan


async def check_orders(snapshot: Snapshot, told: Told) -> list[Offence]:
    """There is one order for each that was told of, none that was not, and its reservation is its demand."""
    merchant = told.merchant
    providers = {channel["id"]: provider for provider, channel in merchant.channels.items()}
    rows = await snapshot.fetch(_ORDERS, merchant.organization_id)
    seen = Counter((providers.get(row["channel_id"], "?"), row["external_order_id"]) for row in rows)
    found = [
        Offence("lost", f"order {external_id} of {provider} ({merchant.slug})", "it was told of and is not there")
        for provider, external_id in sorted(told.plan.orders - seen.keys())
    ]
    for (provider, external_id), count in seen.items():
        offender = f"order {external_id} of {provider} ({merchant.slug})"
        if (provider, external_id) not in told.plan.orders:
            found.append(Offence("astray", offender, "nobody told this merchant of it"))
        if count > 1:
            found.append(Offence("doubled", offender, f"it is there {count} times"))
    held, lines = await _by_order(snapshot, _HELD, merchant), await _by_order(snapshot, _LINES, merchant)
    for row in rows:
        found += _check_reservation(row, held.get(row["id"], []), lines.get(row["id"], []))
    return found


async def _by_order(snapshot: Snapshot, query: str, merchant: Merchant) -> dict[str, list[Any]]:
    rows: dict[str, list[Any]] = {}
    for row in await snapshot.fetch(query, merchant.organization_id):
        rows.setdefault(row["order_id"], []).append(row)
    return rows


def _check_reservation(order: Any, held: Sequence[Any], lines: Sequence[Any]) -> list[Offence]:
    offender = f"order {order['external_order_id']} ({order['id']}, {order['state']})"
    if order["inventory_version"] != order["order_version"]:
        known = order["inventory_version"]
        return [Offence("lost", offender, f"version {order['order_version']}, but inventory knows {known}")]
    found: list[Offence] = []
    demand = Counter[str]()
    for line in json.loads(order["demand"]):
        demand[line["sku"].lower()] += line["quantity"]
    asked = Counter({row["sku"]: int(row["quantity"]) for row in lines})
    if asked != demand:
        found.append(Offence("other", offender, f"inventory's demand is {dict(asked)}, the order's {dict(demand)}"))
    answer, status = json.loads(order["reservation"]), order["inventory_status"]
    if status in _SETTLED and (answer["status"], answer["version"]) != (status, order["reservation_version"]):
        told = (
            f"{status} (answer {order['reservation_version']}) in inventory, {answer['status']} ({answer['version']})"
        )
        found.append(Offence("lost", offender, f"{told} in orders"))
    units = {row["sku"]: int(row["reserved"] + row["committed"]) for row in held if row["reserved"] + row["committed"]}
    if status == "reserved" and units != dict(demand):
        kind = "oversold" if sum(units.values()) < sum(demand.values()) else "doubled"
        found.append(Offence(kind, offender, f"reserved, and holds {units} for a demand of {dict(demand)}"))
    if status != "reserved" and any(int(row["reserved"]) for row in held):
        found.append(Offence("doubled", offender, f"{status}, and still holds {units}"))
    return found


async def check_tenants(snapshot: Snapshot, bystander: Merchant) -> list[Offence]:
    """No row is with another tenant than its order, and the merchant to whom nothing was sent has nothing."""
    found = [
        Offence("astray", f"{row['what']} of order {row['order_id']}", _owners(row))
        for row in await snapshot.fetch(_ASTRAY)
    ]
    found += [
        Offence("astray", f"order {row['id']}", _owners(row))
        for row in await snapshot.fetch(_CHANNELS)
        if row["channel_id"] != api_channel_id(row["organization_id"])
    ]
    for table in (
        "orders.orders",
        "orders.order_events",
        "inventory.demands",
        "inventory.allocations",
        "shipping.orders",
        "shipping.shipments",
        "orders.dead_letters",
        "inventory.dead_letters",
        "shipping.dead_letters",
    ):
        count = await snapshot.fetchval(
            f"SELECT count(*) FROM {table} WHERE organization_id::text = $1",  # noqa: S608 - our own names, above
            bystander.organization_id,
        )
        if count:
            found.append(Offence("astray", f"{count} rows of {table}", "they are with a merchant who did nothing"))
    return found


def _owners(row: Any) -> str:
    return f"it is with organization {row['organization_id']}, its owner is {row['owner'] or 'nobody'}"
