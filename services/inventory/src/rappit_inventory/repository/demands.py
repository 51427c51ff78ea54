"""Demands of orders, what they hold, and the line of those that wait."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from rappit_inventory.domain.allocation import Destination, Strategy
from rappit_inventory.domain.demands import (
    ORDINARY_PRIORITY,
    Demand,
    DemandLine,
    DemandStatus,
    ForceRelease,
    Held,
    Shortage,
)
from rappit_inventory.domain.policy import StockPolicy

_BEGINNING = datetime(1, 1, 1, tzinfo=UTC)
_NOBODY = UUID(int=0)
_UNCHOSEN = StockPolicy()

# How the organization wants its orders served rides along: it is looked up once a statement, not once a row.
_POLICY_SQL = """
    (SELECT allocation_strategy FROM stock_settings WHERE organization_id = :organization_id) AS strategy,
    (SELECT partial_reservations FROM stock_settings WHERE organization_id = :organization_id) AS partial
"""

_INSERT = text(f"""
    INSERT INTO demands (organization_id, order_id, order_version, reservation_version, status, shortages, updated_at)
    SELECT :organization_id, n.order_id, 0, 0, 'new', '[]', :now
    FROM unnest(CAST(:order_ids AS uuid[])) WITH ORDINALITY AS n(order_id, position)
    ORDER BY n.position
    ON CONFLICT DO NOTHING
    RETURNING order_id, {_POLICY_SQL}
""")  # noqa: S608 - our own words, above

_READ_SQL = f"""
    SELECT order_id, order_version, reservation_version, status, waiting_since, shortages, priority, country_code,
           postal_code, released_by, released_reason, {_POLICY_SQL}
    FROM demands
    WHERE organization_id = :organization_id AND order_id = ANY(CAST(:order_ids AS uuid[]))
    ORDER BY order_id
"""  # noqa: S608 - as above
_READ = text(_READ_SQL)
_LOCK = text(f"{_READ_SQL} FOR UPDATE")

# Lines and allocations in one round trip; what the columns from the third on mean, the kind says.
_PARTS = text("""
    SELECT order_id, TRUE AS is_line, sku_code, sku_id, NULL::uuid AS warehouse_id, quantity AS a, 0 AS b, 0 AS c
    FROM demand_lines
    WHERE organization_id = :organization_id AND order_id = ANY(CAST(:order_ids AS uuid[]))
    UNION ALL
    SELECT order_id, FALSE, NULL, sku_id, warehouse_id, quantity_reserved, quantity_committed, quantity_returned
    FROM allocations
    WHERE organization_id = :organization_id AND order_id = ANY(CAST(:order_ids AS uuid[]))
""")

# An upsert of rows that exist: it finds them by key whatever the statistics say (see repository/levels.py).
_WRITE = text("""
    INSERT INTO demands (organization_id, order_id, order_version, reservation_version, status, shortages,
                         waiting_since, priority, country_code, postal_code, released_by, released_reason, updated_at)
    SELECT :organization_id, n.*, :now
    FROM unnest(CAST(:order_ids AS uuid[]), CAST(:order_versions AS bigint[]), CAST(:reservation_versions AS bigint[]),
                CAST(:statuses AS text[]), CAST(:shortages AS jsonb[]), CAST(:waiting_since AS timestamptz[]),
                CAST(:priorities AS int[]), CAST(:country_codes AS text[]), CAST(:postal_codes AS text[]),
                CAST(:released_by AS text[]), CAST(:released_reasons AS text[])) AS n
    ON CONFLICT (organization_id, order_id) DO UPDATE
    SET order_version = excluded.order_version, reservation_version = excluded.reservation_version,
        status = excluded.status, shortages = excluded.shortages, waiting_since = excluded.waiting_since,
        priority = excluded.priority, country_code = excluded.country_code, postal_code = excluded.postal_code,
        released_by = excluded.released_by, released_reason = excluded.released_reason,
        updated_at = excluded.updated_at
""")

_DROP_LINES = text("""
    DELETE FROM demand_lines
    WHERE organization_id = :organization_id AND order_id = ANY(CAST(:order_ids AS uuid[]))
""")

_WRITE_LINES = text("""
    INSERT INTO demand_lines (organization_id, order_id, sku_code, sku_id, quantity, quantity_open, waiting_since,
                              priority)
    SELECT :organization_id, n.*
    FROM unnest(CAST(:order_ids AS uuid[]), CAST(:sku_codes AS text[]), CAST(:sku_ids AS uuid[]),
                CAST(:quantities AS bigint[]), CAST(:open AS bigint[]), CAST(:waiting_since AS timestamptz[]),
                CAST(:priorities AS int[])) AS n
""")

_WRITE_HELD = text("""
    INSERT INTO allocations AS a (organization_id, order_id, sku_id, warehouse_id, quantity_reserved,
                                  quantity_committed, quantity_returned)
    SELECT :organization_id, n.*
    FROM unnest(CAST(:order_ids AS uuid[]), CAST(:sku_ids AS uuid[]), CAST(:warehouse_ids AS uuid[]),
                CAST(:reserved AS bigint[]), CAST(:committed AS bigint[]), CAST(:returned AS bigint[])) AS n
    ON CONFLICT (organization_id, order_id, sku_id, warehouse_id) DO UPDATE
    SET quantity_reserved = excluded.quantity_reserved, quantity_committed = excluded.quantity_committed,
        quantity_returned = excluded.quantity_returned
    WHERE (a.quantity_reserved, a.quantity_committed, a.quantity_returned)
          IS DISTINCT FROM (excluded.quantity_reserved, excluded.quantity_committed, excluded.quantity_returned)
""")

# One short walk of an index for each SKU, from where the last step ended; a line that needs more of the SKU than there
# is cannot be filled and is passed by, unless orders may have a part. The index holds all that is looked at.
_FILLABLE = text("""
    SELECT c.order_id, min(c.priority) AS priority, min(c.waiting_since) AS waiting_since
    FROM unnest(CAST(:sku_ids AS uuid[])) AS k(sku_id)
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(l.quantity_available) FILTER (WHERE (
            SELECT active FROM warehouses WHERE organization_id = :organization_id AND id = l.warehouse_id
        )), 0) AS available
        FROM inventory_levels l
        WHERE l.organization_id = :organization_id AND l.sku_id = k.sku_id AND (
            SELECT active FROM skus WHERE organization_id = :organization_id AND id = k.sku_id)
    ) AS stock
    CROSS JOIN LATERAL (
        SELECT w.order_id, w.priority, w.waiting_since FROM demand_lines w
        WHERE w.organization_id = :organization_id AND w.sku_id = k.sku_id AND w.waiting_since IS NOT NULL
          AND stock.available > 0 AND (w.quantity_open <= stock.available OR (
            SELECT partial_reservations FROM stock_settings WHERE organization_id = :organization_id))
          AND (w.priority, w.waiting_since, w.order_id) > (:after_priority, :after_since, :after_order)
        ORDER BY w.priority, w.waiting_since, w.order_id LIMIT :limit
    ) AS c
    GROUP BY c.order_id ORDER BY priority, waiting_since, c.order_id LIMIT :limit
""")

# What a person released names unknown SKUs too, and waits in no line: that it waits is asked for here as well.
_NEWLY_KNOWN = text("""
    SELECT c.order_id, min(c.priority) AS priority, min(c.waiting_since) AS waiting_since
    FROM unnest(CAST(:sku_ids AS uuid[])) AS k(sku_id)
    JOIN skus s ON s.organization_id = :organization_id AND s.id = k.sku_id
    CROSS JOIN LATERAL (
        SELECT w.order_id, w.priority, w.waiting_since FROM demand_lines w
        WHERE w.organization_id = :organization_id AND w.sku_key = s.code_key AND w.sku_id IS NULL
          AND w.waiting_since IS NOT NULL
          AND (w.priority, w.waiting_since, w.order_id) > (:after_priority, :after_since, :after_order)
        ORDER BY w.priority, w.waiting_since, w.order_id LIMIT :limit
    ) AS c
    GROUP BY c.order_id ORDER BY priority, waiting_since, c.order_id LIMIT :limit
""")

_AWAITED = text("""
    SELECT k.sku_id FROM unnest(CAST(:sku_ids AS uuid[])) AS k(sku_id)
    WHERE EXISTS (SELECT FROM demand_lines w WHERE w.organization_id = :organization_id AND w.sku_id = k.sku_id
                  AND w.waiting_since IS NOT NULL)
    ORDER BY k.sku_id
""")

# Of a warehouse that is opened again: which of the SKUs in it an order waits for.
_AWAITED_IN = text("""
    SELECT DISTINCT w.sku_id FROM demand_lines w
    WHERE w.organization_id = :organization_id AND w.waiting_since IS NOT NULL AND EXISTS (
        SELECT FROM inventory_levels l WHERE l.organization_id = :organization_id AND l.sku_id = w.sku_id
        AND l.warehouse_id = :warehouse_id AND l.quantity_available > 0)
    ORDER BY w.sku_id
""")

_AWAITED_ANYWHERE = text("""
    SELECT DISTINCT w.sku_id FROM demand_lines w
    WHERE w.organization_id = :organization_id AND w.waiting_since IS NOT NULL AND w.sku_id IS NOT NULL
    ORDER BY w.sku_id
""")

_AWAITED_BY_CODE = text("""
    SELECT s.id FROM unnest(CAST(:sku_ids AS uuid[])) AS k(sku_id)
    JOIN skus s ON s.organization_id = :organization_id AND s.id = k.sku_id
    WHERE EXISTS (SELECT FROM demand_lines w WHERE w.organization_id = :organization_id
                  AND w.sku_key = s.code_key AND w.sku_id IS NULL AND w.waiting_since IS NOT NULL)
    ORDER BY s.id
""")


@dataclass(frozen=True, slots=True)
class Waiting:
    """An order in the line, and its place there."""

    waiting_since: datetime
    order_id: UUID
    priority: int = ORDINARY_PRIORITY

    @property
    def place(self) -> tuple[int, datetime, UUID]:
        """Return what sorts the line."""
        return (self.priority, self.waiting_since, self.order_id)


class DemandRepository:
    """Reads, locks and writes one organization's demands, many at a time."""

    def __init__(self, session: AsyncSession, organization_id: UUID) -> None:
        self._session = session
        self._organization_id = organization_id
        # Made in this transaction and not saved yet: they have no lines that could be dropped.
        self._made: set[UUID] = set()

    async def _run(self, statement: Any, **parameters: Any) -> Any:
        return await self._session.execute(statement, {"organization_id": self._organization_id, **parameters})

    async def lock(self, new: Iterable[UUID], known: Iterable[UUID], now: datetime) -> dict[UUID, Demand]:
        """Lock demands by order id, making those of ``new`` that do not exist yet; with their lines and what they hold.

        Args:
            new: Orders that a message speaks of.
            known: Orders that are known to have a demand.
            now: When a demand is made.
        """
        spoken_of, demands = sorted(set(new)), dict[UUID, Demand]()
        # Whoever makes a row has its lock, and knows what is in it.
        for row in await self._run(_INSERT, order_ids=spoken_of, now=now) if spoken_of else ():
            demands[row.order_id] = Demand(row.order_id, policy=_policy(row))
        self._made |= demands.keys()
        found = sorted({*spoken_of, *known} - demands.keys())
        for row in await self._run(_LOCK, order_ids=found) if found else ():
            demand = demands[row.order_id] = _demand(row)
            demand.is_expected = demand.order_version == 0
        await self._fill_parts(demands)
        return demands

    async def get(self, order_id: UUID) -> Demand | None:
        """Return one order's demand as it is, without a lock."""
        row = (await self._run(_READ, order_ids=[order_id])).one_or_none()
        if row is None:
            return None
        demand = _demand(row)
        await self._fill_parts({order_id: demand})
        return demand

    async def _fill_parts(self, demands: dict[UUID, Demand]) -> None:
        # An order never seen before has no parts to ask for.
        known = [demand.order_id for demand in demands.values() if demand.order_version]
        if not known:
            return
        for row in await self._run(_PARTS, order_ids=known):
            demand = demands[row.order_id]
            if row.is_line:
                demand.lines.append(DemandLine(row.sku_code, row.a, row.sku_id))
            else:
                demand.held[row.sku_id, row.warehouse_id] = Held(row.a, row.b, row.c)

    async def save(self, demands: Sequence[Demand], now: datetime) -> None:
        """Write demands with their lines and what they hold, in a fixed number of statements."""
        if not demands:
            return
        order_ids = [demand.order_id for demand in demands]
        await self._run(
            _WRITE,
            now=now,
            order_ids=order_ids,
            order_versions=[demand.order_version for demand in demands],
            reservation_versions=[demand.reservation_version for demand in demands],
            statuses=[demand.status.value for demand in demands],
            shortages=[json.dumps([asdict(shortage) for shortage in demand.shortages]) for demand in demands],
            waiting_since=[demand.waiting_since for demand in demands],
            priorities=[demand.priority for demand in demands],
            country_codes=[demand.destination and demand.destination.country_code for demand in demands],
            postal_codes=[demand.destination and demand.destination.postal_code for demand in demands],
            released_by=[demand.force_release and demand.force_release.actor for demand in demands],
            released_reasons=[demand.force_release and demand.force_release.reason for demand in demands],
        )
        had_lines = [order_id for order_id in order_ids if order_id not in self._made]
        self._made.difference_update(order_ids)
        if had_lines:
            await self._run(_DROP_LINES, order_ids=had_lines)
        lines = [(demand, line) for demand in demands for line in demand.lines]
        waiting = {(demand.order_id, line.sku_code) for demand in demands for line in demand.waiting_lines()}
        if lines:
            await self._run(
                _WRITE_LINES,
                order_ids=[demand.order_id for demand, _ in lines],
                sku_codes=[line.sku_code for _, line in lines],
                sku_ids=[line.sku_id for _, line in lines],
                quantities=[line.quantity for _, line in lines],
                open=[
                    _open(demand, line) if (demand.order_id, line.sku_code) in waiting else 0 for demand, line in lines
                ],
                waiting_since=[
                    demand.waiting_since if (demand.order_id, line.sku_code) in waiting else None
                    for demand, line in lines
                ],
                priorities=[demand.priority for demand, _ in lines],
            )
        held = [(demand.order_id, key, units) for demand in demands for key, units in demand.held.items()]
        if held:
            await self._run(
                _WRITE_HELD,
                order_ids=[order_id for order_id, _, _ in held],
                sku_ids=[key[0] for _, key, _ in held],
                warehouse_ids=[key[1] for _, key, _ in held],
                reserved=[units.reserved for _, _, units in held],
                committed=[units.committed for _, _, units in held],
                returned=[units.returned for _, _, units in held],
            )

    async def fillable(self, sku_ids: Iterable[UUID], *, limit: int, after: Waiting | None = None) -> list[Waiting]:
        """Return the orders longest in line that the free stock of some SKUs may fill; at most ``limit``."""
        return await self._line(_FILLABLE, sku_ids, limit, after)

    async def newly_known(self, sku_ids: Iterable[UUID], *, limit: int, after: Waiting | None = None) -> list[Waiting]:
        """Return the orders longest in line that wait for these SKUs to be known; at most ``limit``."""
        return await self._line(_NEWLY_KNOWN, sku_ids, limit, after)

    async def _line(self, statement: Any, sku_ids: Iterable[UUID], limit: int, after: Waiting | None) -> list[Waiting]:
        wanted = sorted(set(sku_ids))
        if not wanted:
            return []
        place = after or Waiting(_BEGINNING, _NOBODY, -1)
        rows = await self._run(
            statement,
            sku_ids=wanted,
            limit=limit,
            after_priority=place.priority,
            after_since=place.waiting_since,
            after_order=place.order_id,
        )
        return [Waiting(row.waiting_since, row.order_id, row.priority) for row in rows]

    async def awaited(self, sku_ids: Iterable[UUID]) -> list[UUID]:
        """Return those of some SKUs that an order waits for. The caller holds the locks of their levels."""
        return await self._some(_AWAITED, sku_ids)

    async def awaited_in(self, warehouse_id: UUID) -> list[UUID]:
        """Return the SKUs in one warehouse that an order waits for. Under the exclusive catalogue lock."""
        return list((await self._run(_AWAITED_IN, warehouse_id=warehouse_id)).scalars())

    async def awaited_anywhere(self) -> list[UUID]:
        """Return every SKU that an order waits for. Under the exclusive catalogue lock."""
        return list((await self._run(_AWAITED_ANYWHERE)).scalars())

    async def awaited_by_code(self, sku_ids: Iterable[UUID]) -> list[UUID]:
        """Return those of some new SKUs that an order on hold names. Under the exclusive catalogue lock."""
        return await self._some(_AWAITED_BY_CODE, sku_ids)

    async def _some(self, statement: Any, sku_ids: Iterable[UUID]) -> list[UUID]:
        wanted = sorted(set(sku_ids))
        return list((await self._run(statement, sku_ids=wanted)).scalars()) if wanted else []


def _demand(row: Any) -> Demand:
    return Demand(
        order_id=row.order_id,
        order_version=row.order_version,
        reservation_version=row.reservation_version,
        status=DemandStatus(row.status),
        waiting_since=row.waiting_since,
        shortages=[Shortage(**shortage) for shortage in row.shortages],
        priority=row.priority,
        destination=Destination(row.country_code, row.postal_code) if row.country_code else None,
        force_release=ForceRelease(row.released_by, row.released_reason) if row.released_by else None,
        policy=_policy(row),
    )


def _policy(row: Any) -> StockPolicy:
    return _UNCHOSEN if row.strategy is None else StockPolicy(Strategy(row.strategy), row.partial)


def _open(demand: Demand, line: DemandLine) -> int:
    """Return the units of a waiting line that still have to be found on the shelves."""
    if line.sku_id is None:
        return 0
    missing = demand.wanted().get(line.sku_id, 0) - demand.reserved(line.sku_id)
    return max(0, min(line.quantity, missing))
