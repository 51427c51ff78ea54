"""Reservations to look at, and what people did with them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from rappit_inventory.models import AllocationRow, DemandRow, Sku, Warehouse
from rappit_inventory.models.reservations import ReservationStepRow

# Each branch walks one index from the newest order on and stops at the page's end; `in_state` names literals only. An
# order without a version was only promised a hold: nothing is known of it yet.
_PAGE = """
    SELECT d.order_id FROM demands d
    WHERE d.organization_id = :organization_id AND d.order_id < :after AND d.order_version > 0 {in_state}
    ORDER BY d.order_id DESC LIMIT :limit
"""
_HOLDING = """
    SELECT DISTINCT a.order_id FROM allocations a
    CROSS JOIN LATERAL (
        SELECT status, waiting_since FROM demands
        WHERE organization_id = :organization_id AND order_id = a.order_id LIMIT 1
    ) AS d
    WHERE a.organization_id = :organization_id AND a.quantity_reserved > 0 AND a.order_id < :after {place} {in_state}
    ORDER BY a.order_id DESC LIMIT :limit
"""
_AWAITING = """
    SELECT DISTINCT w.order_id FROM demand_lines w
    CROSS JOIN LATERAL (
        SELECT status, waiting_since FROM demands
        WHERE organization_id = :organization_id AND order_id = w.order_id LIMIT 1
    ) AS d
    WHERE w.organization_id = :organization_id AND w.sku_id = :sku_id AND w.waiting_since IS NOT NULL
      AND w.order_id < :after {in_state}
    ORDER BY w.order_id DESC LIMIT :limit
"""
_EITHER = "SELECT order_id FROM (({holding}) UNION ({awaiting})) AS e ORDER BY order_id DESC LIMIT :limit"
_INDEXED = frozenset({"on_hold", "released"})
_LAST = UUID(int=(1 << 128) - 1)


@dataclass(frozen=True, slots=True)
class ReservationFilter:
    """Which reservations. None leaves a condition out."""

    status: str | None = None
    sku_id: UUID | None = None
    warehouse_id: UUID | None = None
    waiting: bool | None = None


@dataclass(frozen=True, slots=True)
class HeldUnits:
    """Units of a SKU that lie reserved for an order in a warehouse."""

    order_id: UUID
    sku: str
    warehouse_code: str
    quantity: int


class ReservationRepository:
    """Reads one organization's reservations, and writes what people did with them."""

    def __init__(self, session: AsyncSession, organization_id: UUID) -> None:
        self._session = session
        self._organization_id = organization_id

    async def page(self, wanted: ReservationFilter, *, limit: int, after: UUID | None) -> Sequence[DemandRow]:
        """Return reservations, the newest orders first."""
        parameters = {
            "organization_id": self._organization_id,
            "status": wanted.status,
            "sku_id": wanted.sku_id,
            "warehouse_id": wanted.warehouse_id,
            "limit": limit,
            "after": after or _LAST,
        }
        order_ids = list((await self._session.execute(text(page_sql(wanted)), parameters)).scalars())
        demand = DemandRow
        rows = await self._session.scalars(
            select(demand).where(demand.order_id.in_(order_ids)).order_by(demand.order_id.desc())
        )
        return list(rows)

    async def held(self, order_ids: Iterable[UUID]) -> list[HeldUnits]:
        """Return what lies reserved for some orders."""
        held = AllocationRow
        rows = await self._session.execute(
            select(held.order_id, Sku.code, Warehouse.code, held.quantity_reserved)
            .join(Sku, (Sku.organization_id == held.organization_id) & (Sku.id == held.sku_id))
            .join(Warehouse, (Warehouse.organization_id == held.organization_id) & (Warehouse.id == held.warehouse_id))
            .where(held.order_id.in_(set(order_ids)), held.quantity_reserved > 0)
            .order_by(held.order_id, Sku.code, Warehouse.code)
        )
        return [HeldUnits(*row) for row in rows]

    async def note(
        self,
        order_id: UUID,
        action: str,
        detail: Mapping[str, Any],
        *,
        actor: str,
        reason: str | None,
        trace_id: str | None,
        now: datetime,
    ) -> None:
        """Append to what people did with an order's reservation."""
        self._session.add(
            ReservationStepRow(
                organization_id=self._organization_id,
                order_id=order_id,
                at=now,
                actor=actor,
                action=action,
                reason=reason,
                detail=dict(detail),
                trace_id=trace_id,
            )
        )
        await self._session.flush()

    async def steps(self, order_id: UUID, *, limit: int) -> Sequence[ReservationStepRow]:
        """Return what people did with an order's reservation, newest first."""
        step = ReservationStepRow
        return list(
            await self._session.scalars(
                select(step).where(step.order_id == order_id).order_by(step.id.desc()).limit(limit)
            )
        )


def page_sql(wanted: ReservationFilter) -> str:
    """Return the statement that finds a page's orders."""
    in_state = ""
    if wanted.status is not None:
        # Spelled out where an index holds those alone, for the planner to see it.
        in_state = f"AND d.status = '{wanted.status}'" if wanted.status in _INDEXED else "AND d.status = :status"
    waiting = wanted.waiting
    if wanted.status in {"backordered", "on_hold"} and waiting is None:
        waiting = True
    if waiting is not None:
        in_state += f" AND d.waiting_since IS {'NOT NULL' if waiting else 'NULL'}"
    if wanted.sku_id is None and wanted.warehouse_id is None:
        return _PAGE.format(in_state=in_state)
    place = ""
    if wanted.sku_id is not None:
        place += " AND a.sku_id = :sku_id"
    if wanted.warehouse_id is not None:
        place += " AND a.warehouse_id = :warehouse_id"
    holding = _HOLDING.format(place=place, in_state=in_state)
    if wanted.warehouse_id is not None:
        return holding
    return _EITHER.format(holding=holding, awaiting=_AWAITING.format(in_state=in_state))
