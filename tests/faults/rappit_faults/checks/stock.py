"""Stock: on hand, reserved, what cannot be sold, what is held and the ledger tell one story, none below nothing."""

from collections.abc import Sequence

from rappit_faults.checks.offence import Offence, Snapshot

_LEVELS = """
    SELECT l.organization_id::text, s.code AS sku, w.code AS warehouse, l.quantity_total, l.quantity_reserved,
           l.quantity_damaged + l.quantity_quarantined AS unavailable, l.quantity_available,
           coalesce(held.reserved, 0) AS held, coalesce(held.holders, '') AS holders,
           coalesce(told.total, 0) AS ledger_total, coalesce(told.reserved, 0) AS ledger_reserved,
           coalesce(told.unavailable, 0) AS ledger_unavailable
    FROM inventory.inventory_levels l
    JOIN inventory.skus s ON s.organization_id = l.organization_id AND s.id = l.sku_id
    JOIN inventory.warehouses w ON w.organization_id = l.organization_id AND w.id = l.warehouse_id
    LEFT JOIN (
        SELECT organization_id, sku_id, warehouse_id, sum(units) AS reserved,
               string_agg(holder || ' holds ' || units, ', ') AS holders
        FROM (
            SELECT organization_id, sku_id, warehouse_id, quantity_reserved AS units, 'order ' || order_id AS holder
            FROM inventory.allocations WHERE quantity_reserved > 0
            UNION ALL
            SELECT organization_id, sku_id, warehouse_id, quantity_held, 'hold ' || hold_id
            FROM inventory.hold_lines WHERE quantity_held > 0
        ) units GROUP BY 1, 2, 3
    ) held ON (held.organization_id, held.sku_id, held.warehouse_id) = (l.organization_id, l.sku_id, l.warehouse_id)
    LEFT JOIN (
        SELECT organization_id, sku_id, warehouse_id, sum(total_after - total_before) AS total,
               sum(reserved_after - reserved_before) AS reserved,
               sum(damaged_after - damaged_before + quarantined_after - quarantined_before) AS unavailable
        FROM inventory.stock_ledger GROUP BY 1, 2, 3
    ) told ON (told.organization_id, told.sku_id, told.warehouse_id) = (l.organization_id, l.sku_id, l.warehouse_id)
    WHERE l.organization_id::text = ANY($1)
"""
_BROKEN_CHAINS = """
    SELECT * FROM (
        SELECT g.organization_id::text, s.code AS sku, w.code AS warehouse, g.id, g.kind, g.source_type, g.source_id,
               g.total_before, g.reserved_before,
               coalesce(lag(g.total_after) OVER chain, 0) AS total_left,
               coalesce(lag(g.reserved_after) OVER chain, 0) AS reserved_left
        FROM inventory.stock_ledger g
        JOIN inventory.skus s ON s.organization_id = g.organization_id AND s.id = g.sku_id
        JOIN inventory.warehouses w ON w.organization_id = g.organization_id AND w.id = g.warehouse_id
        WHERE g.organization_id::text = ANY($1)
        WINDOW chain AS (PARTITION BY g.organization_id, g.sku_id, g.warehouse_id ORDER BY g.id)
    ) AS rows WHERE total_before <> total_left OR reserved_before <> reserved_left
"""


async def check_stock(snapshot: Snapshot, organization_ids: Sequence[str]) -> list[Offence]:
    """On hand, reserved, what orders and holds have of it and the ledger agree for each SKU and warehouse, always."""
    found: list[Offence] = []
    for row in await snapshot.fetch(_LEVELS, list(organization_ids)):
        offender = f"{row['sku']} in {row['warehouse']} of organization {row['organization_id']}"
        total, reserved, available = row["quantity_total"], row["quantity_reserved"], row["quantity_available"]
        unavailable = row["unavailable"]
        if min(total, reserved, unavailable, available) < 0 or total - reserved - unavailable != available:
            figures = f"on hand {total}, reserved {reserved}, unavailable {unavailable}, available {available}"
            found.append(Offence("oversold", offender, figures))
        if row["held"] != reserved:
            why = f"{row['held']} of it are held, but {reserved} of {total} are reserved ({row['holders'][:300]})"
            found.append(Offence("oversold" if row["held"] > reserved else "other", offender, why))
        told = (row["ledger_total"], row["ledger_reserved"], row["ledger_unavailable"])
        if told != (total, reserved, unavailable):
            sums = "/".join(str(figure) for figure in told)
            why = f"the ledger adds up to {sums}, the level is {total}/{reserved}/{unavailable}"
            found.append(Offence("other", offender, why))
    found += [
        Offence(
            "other",
            f"ledger row {row['id']} ({row['kind']} by {row['source_type']} {row['source_id']}) of {row['sku']} "
            f"in {row['warehouse']}",
            f"begins at {row['total_before']}/{row['reserved_before']}, but the row before left "
            f"{row['total_left']}/{row['reserved_left']}",
        )
        for row in await snapshot.fetch(_BROKEN_CHAINS, list(organization_ids))
    ]
    return found
