"""Labels: one for each shipment, and for each wish one shipment, as the carriers count them."""

from typing import Any

import httpx
from rappit_demo.merchant import Merchant

from rappit_faults.checks.offence import Offence, Snapshot
from rappit_faults.load import Journal

_SHIPMENTS = """
    SELECT id::text, order_id::text, carrier, status, reference, idempotency_key, tracking_number, needs_person
    FROM shipping.shipments WHERE organization_id::text = $1
"""
UNSETTLED = {"purchasing", "outcome_unknown", "void_pending"}
# What the carrier must have sold and not taken back, by the shipment's status.
_LIVE = {"labelled": 1, "voided": 0, "failed": 0}


async def check_labels(
    snapshot: Snapshot, merchant: Merchant, journal: Journal, carriers: httpx.AsyncClient
) -> list[Offence]:
    """Ask the carriers what they sold under each shipment's reference, and compare."""
    rows = await snapshot.fetch(_SHIPMENTS, merchant.organization_id)
    keys = {bought.key: bought for bought in journal.bought}
    found: list[Offence] = []
    live_by_order: dict[str, list[str]] = {}
    for row in rows:
        answer = await carriers.get("/_control/shipments", params={"reference": row["reference"], "limit": 100})
        sold: list[dict[str, Any]] = answer.json()
        live = [label for label in sold if label["status"] != "voided"]
        offender = f"shipment {row['id']} ({row['carrier']}, {row['status']}, reference {row['reference']})"
        if row["idempotency_key"] not in keys:
            found.append(Offence("astray", offender, "nobody asked for it"))
        if len(sold) > 1:
            numbers = ", ".join(label["tracking_number"] for label in sold)
            found.append(Offence("doubled", offender, f"its carrier sold {len(sold)} labels: {numbers}"))
        if row["status"] in _LIVE and len(live) != _LIVE[row["status"]]:
            promise = "lost" if row["status"] == "labelled" else "doubled"
            found.append(Offence(promise, offender, f"its carrier has {len(live)} live labels for it"))
        if row["status"] in UNSETTLED and not row["needs_person"]:
            found.append(Offence("undrained", offender, "it is not settled yet"))
        if live and row["status"] != "failed":
            live_by_order.setdefault(row["order_id"], []).append(row["id"])
    found += [
        Offence("doubled", f"order {order_id}", f"it has live labels of {len(ids)} shipments: {', '.join(ids)}")
        for order_id, ids in live_by_order.items()
        if len(ids) > 1
    ]
    for bought in keys.values():
        offender = f"label wish {bought.key} ({'; '.join(bought.answers[-3:])})"
        ids = [row["id"] for row in rows if row["idempotency_key"] == bought.key]
        if len(ids) > 1:
            found.append(Offence("doubled", offender, f"it has {len(ids)} shipments: {', '.join(ids)}"))
        if missing := bought.shipment_ids - set(ids):
            found.append(Offence("lost", offender, f"answered with shipment {', '.join(missing)}, which is not there"))
    return found
