"""The ledger, and the comparison of levels with it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query
from rappit_common.pagination import InvalidCursorError, Page, decode_id_cursor, encode_cursor
from rappit_common.web.auth import InvalidTokenError, MissingRoleError, Staff
from rappit_common.web.problems import errors

from rappit_inventory.domain.errors import UnknownSkuError
from rappit_inventory.endpoints.dependencies import Now, ReadUnit, WriteUnit
from rappit_inventory.endpoints.paging import cut, time_and_number
from rappit_inventory.models import LedgerRow
from rappit_inventory.repository.ledger import LedgerFilter
from rappit_inventory.schemas.documents import DriftRead, LedgerAsked, LedgerEntry, VerificationCreate, VerificationRead
from rappit_inventory.service.find_levels import find_levels
from rappit_inventory.service.verify import Verify, verify_stock
from rappit_inventory.unit import InventoryUnit

router = APIRouter(tags=["ledger"], responses=errors(InvalidTokenError, MissingRoleError))


@router.get("/ledger", responses=errors(InvalidCursorError))
async def list_ledger(
    unit: ReadUnit,
    asked: Annotated[LedgerAsked, Query()],
) -> Page[LedgerEntry]:
    """List every change of every level, newest first."""
    places = await find_levels(unit, sku=asked.sku, warehouse_code=asked.warehouse_code, text=None, low_only=False)
    if places is None:
        return Page(items=[])
    wanted = LedgerFilter(
        sku_id=next(iter(places.sku_ids)) if places.sku_ids else None,
        warehouse_id=places.warehouse_id,
        kind=asked.kind,
        source_id=asked.source_id,
        since=asked.since,
        before=asked.before,
    )
    after = time_and_number(asked.cursor) if asked.cursor else None
    rows = await unit.ledger.page(wanted, limit=asked.limit + 1, after=after)
    more = cut(rows, asked.limit, lambda row: (row.at.isoformat(), row.id))
    return Page(items=await _entries(unit, rows[: asked.limit]), next_cursor=more)


async def _entries(unit: InventoryUnit, rows: Sequence[LedgerRow]) -> list[LedgerEntry]:
    skus = await unit.catalogue.sku_codes(row.sku_id for row in rows)
    warehouses = await unit.catalogue.warehouse_codes(row.warehouse_id for row in rows)
    return [
        LedgerEntry(
            id=row.id,
            at=row.at,
            sku=skus[row.sku_id],
            warehouse_code=warehouses[row.warehouse_id],
            kind=row.kind,
            actor=row.actor,
            reason_code=row.reason_code,
            reason=row.reason,
            source_type=row.source_type,
            source_id=row.source_id,
            total_before=row.total_before,
            total_after=row.total_after,
            reserved_before=row.reserved_before,
            reserved_after=row.reserved_after,
            damaged_before=row.damaged_before,
            damaged_after=row.damaged_after,
            quarantined_before=row.quarantined_before,
            quarantined_after=row.quarantined_after,
            available_before=row.total_before - row.reserved_before - row.damaged_before - row.quarantined_before,
            available_after=row.total_after - row.reserved_after - row.damaged_after - row.quarantined_after,
            trace_id=row.trace_id,
        )
        for row in rows
    ]


@router.post("/verifications", responses=errors(UnknownSkuError, InvalidCursorError))
async def verify(body: VerificationCreate, unit: WriteUnit, principal: Staff, now: Now) -> VerificationRead:
    """Compare levels with the ledger and with what is held; with `repair`, put right what drifted."""
    asked = Verify(principal.label, body.reason, body.skus, repair=body.repair)
    if body.cursor is not None:
        asked = replace(asked, after=decode_id_cursor(body.cursor))
    done = await verify_stock(unit, asked, now=now)
    return VerificationRead(
        levels=done.levels,
        found=done.found,
        drifts=[DriftRead.model_validate(drift) for drift in done.drifts],
        repaired=done.repaired,
        unrepairable=[DriftRead.model_validate(drift) for drift in done.unrepairable],
        next_cursor=encode_cursor(str(done.next_after)) if done.next_after else None,
    )
