"""Holds; each is guarded by the lock of its row."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from rappit_inventory.domain.holds import Hold, HoldKind, HoldState
from rappit_inventory.models.holds import HoldLineRow, HoldRow

_SELECT = """
    SELECT id, kind, state, reason, actor, order_id, created_at, expires_at, ended_at
    FROM holds WHERE organization_id = :organization_id
"""
_READ = text(f"{_SELECT} AND id = :hold_id")
_LOCK = text(f"{_SELECT} AND id = :hold_id FOR UPDATE")
_LOCK_PROMISED = text(f"""{_SELECT}
    AND order_id = ANY(CAST(:order_ids AS uuid[])) AND state = 'promised' ORDER BY id FOR UPDATE
""")
# Whoever else has one in hand ends it, prolongs it or gives it to an order: either way it is not ours to wait for.
_LOCK_DUE = text(f"""{_SELECT}
    AND state IN ('active', 'promised') AND expires_at IS NOT NULL AND expires_at <= :now
    ORDER BY expires_at LIMIT :limit FOR UPDATE SKIP LOCKED
""")
_ORGANIZATIONS_DUE = text("""
    SELECT DISTINCT organization_id FROM (
        SELECT organization_id FROM holds
        WHERE state IN ('active', 'promised') AND expires_at IS NOT NULL AND expires_at <= :now
          AND organization_id <> ALL(CAST(:but AS uuid[]))
        ORDER BY expires_at LIMIT :limit
    ) AS due
""")
_LINES = text("""
    SELECT hold_id, sku_id, warehouse_id, quantity FROM hold_lines
    WHERE organization_id = :organization_id AND hold_id = ANY(CAST(:hold_ids AS uuid[]))
""")
_WRITE = text("""
    UPDATE holds h
    SET state = n.state, order_id = n.order_id, expires_at = n.expires_at, ended_at = n.ended_at
    FROM unnest(CAST(:hold_ids AS uuid[]), CAST(:states AS text[]), CAST(:order_ids AS uuid[]),
                CAST(:expires_at AS timestamptz[]), CAST(:ended_at AS timestamptz[]))
         AS n(id, state, order_id, expires_at, ended_at)
    WHERE h.organization_id = :organization_id AND h.id = n.id
""")
_END_LINES = text("""
    UPDATE hold_lines SET quantity_held = 0
    WHERE organization_id = :organization_id AND hold_id = ANY(CAST(:hold_ids AS uuid[]))
""")
# Chosen once, ahead: a subquery that locks may be run again for each row.
_PURGE = text("""
    WITH chosen AS (
        SELECT organization_id, id FROM holds WHERE ended_at < :before
        ORDER BY ended_at LIMIT :limit FOR UPDATE SKIP LOCKED
    ), lines AS (
        DELETE FROM hold_lines l USING chosen c WHERE l.organization_id = c.organization_id AND l.hold_id = c.id
    )
    DELETE FROM holds h USING chosen c WHERE h.organization_id = c.organization_id AND h.id = c.id
""")


@dataclass(frozen=True, slots=True)
class HoldFilter:
    """Which holds. None leaves a condition out."""

    kind: HoldKind | None = None
    state: HoldState | None = None
    sku_id: UUID | None = None


class HoldRepository:
    """Reads, locks and writes one organization's holds."""

    def __init__(self, session: AsyncSession, organization_id: UUID) -> None:
        self._session = session
        self._organization_id = organization_id

    async def _run(self, statement: Any, **parameters: Any) -> Any:
        return await self._session.execute(statement, {"organization_id": self._organization_id, **parameters})

    async def add(self, hold: Hold) -> None:
        """Write a new hold."""
        self._session.add(
            HoldRow(
                organization_id=self._organization_id,
                id=hold.id,
                kind=hold.kind.value,
                state=hold.state.value,
                reason=hold.reason,
                actor=hold.actor,
                created_at=hold.created_at,
                expires_at=hold.expires_at,
            )
        )
        await self._session.flush()
        lines = [
            {
                "organization_id": self._organization_id,
                "hold_id": hold.id,
                "sku_id": sku_id,
                "warehouse_id": warehouse_id,
                "quantity": quantity,
                "quantity_held": quantity,
            }
            for (sku_id, warehouse_id), quantity in sorted(hold.units.items())
        ]
        await self._session.execute(insert(HoldLineRow), lines)

    async def get(self, hold_id: UUID) -> Hold | None:
        """Return a hold as it is, without a lock."""
        return next(iter(await self._filled(await self._run(_READ, hold_id=hold_id))), None)

    async def lock(self, hold_id: UUID) -> Hold | None:
        """Lock a hold and return it with its units."""
        return next(iter(await self._filled(await self._run(_LOCK, hold_id=hold_id))), None)

    async def lock_promised(self, order_ids: Iterable[UUID]) -> list[Hold]:
        """Lock the holds that some orders were promised. The caller holds the locks of their demands."""
        wanted = sorted(order_ids)
        return await self._filled(await self._run(_LOCK_PROMISED, order_ids=wanted)) if wanted else []

    async def lock_due(self, now: datetime, *, limit: int) -> list[Hold]:
        """Lock the holds whose time is over and that nobody else has in hand; at most ``limit``."""
        return await self._filled(await self._run(_LOCK_DUE, now=now, limit=limit))

    async def _filled(self, rows: Iterable[Any]) -> list[Hold]:
        holds = {row.id: _hold(row) for row in rows}
        if holds:
            for line in await self._run(_LINES, hold_ids=list(holds)):
                holds[line.hold_id].units[line.sku_id, line.warehouse_id] = line.quantity
        return list(holds.values())

    async def save(self, holds: Sequence[Hold]) -> None:
        """Write what became of some holds; of those that have ended nothing is held any more."""
        if not holds:
            return
        await self._run(
            _WRITE,
            hold_ids=[hold.id for hold in holds],
            states=[hold.state.value for hold in holds],
            order_ids=[hold.order_id for hold in holds],
            expires_at=[hold.expires_at for hold in holds],
            ended_at=[hold.ended_at for hold in holds],
        )
        ended = [hold.id for hold in holds if not hold.is_live]
        if ended:
            await self._run(_END_LINES, hold_ids=ended)

    async def page(self, wanted: HoldFilter, *, limit: int, after: UUID | None) -> list[Hold]:
        """Return holds, newest first."""
        statement = select(HoldRow).order_by(HoldRow.id.desc()).limit(limit)
        if wanted.kind is not None:
            statement = statement.where(HoldRow.kind == wanted.kind.value)
        if wanted.state is not None:
            statement = statement.where(HoldRow.state == wanted.state.value)
        if wanted.sku_id is not None:
            line = HoldLineRow
            of_sku = select(line.hold_id).where(line.sku_id == wanted.sku_id, line.hold_id == HoldRow.id)
            statement = statement.where(of_sku.exists())
        if after is not None:
            statement = statement.where(HoldRow.id < after)
        return await self._filled(await self._session.scalars(statement))


async def organizations_due(
    session: AsyncSession, now: datetime, *, limit: int, but: Collection[UUID] = ()
) -> list[UUID]:
    """Return whose holds are due, of the ``limit`` holds that are so longest, those of ``but`` left out.

    The session sees every organization.
    """
    parameters = {"now": now, "limit": limit, "but": list(but)}
    return list((await session.execute(_ORGANIZATIONS_DUE, parameters)).scalars())


async def purge_ended(session: AsyncSession, before: datetime, *, limit: int) -> int:
    """Remove holds that ended before then, with their lines. Returns how many; the session sees every organization."""
    removed: Any = await session.execute(_PURGE, {"before": before, "limit": limit})
    return removed.rowcount


def _hold(row: Any) -> Hold:
    return Hold(
        id=row.id,
        kind=HoldKind(row.kind),
        units={},
        actor=row.actor,
        created_at=row.created_at,
        reason=row.reason,
        expires_at=row.expires_at,
        state=HoldState(row.state),
        order_id=row.order_id,
        ended_at=row.ended_at,
    )
