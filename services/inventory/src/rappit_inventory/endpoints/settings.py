"""How an organization's orders are served."""

from fastapi import APIRouter
from rappit_common.web.auth import InvalidTokenError, MissingRoleError, Staff
from rappit_common.web.problems import errors

from rappit_inventory.domain.policy import StockPolicy
from rappit_inventory.endpoints.dependencies import Now, ReadUnit, WriteUnit
from rappit_inventory.schemas.reservations import SettingsRead, SettingsWrite
from rappit_inventory.service.settings import choose_policy, policy_of
from rappit_inventory.unit import InventoryUnit

router = APIRouter(prefix="/settings", tags=["settings"], responses=errors(InvalidTokenError, MissingRoleError))


@router.get("")
async def show_settings(unit: ReadUnit) -> SettingsRead:
    """Show how orders are served: what was chosen, or the defaults."""
    return await _read(unit)


@router.put("")
async def choose_settings(body: SettingsWrite, unit: WriteUnit, principal: Staff, now: Now) -> SettingsRead:
    """Choose how orders are served from now on; what is left out is as by default.

    What orders hold already stays where it lies.
    """
    policy = StockPolicy(body.allocation_strategy, body.partial_reservations)
    await choose_policy(unit, policy, actor=principal.label, now=now)
    return await _read(unit)


async def _read(unit: InventoryUnit) -> SettingsRead:
    row = await unit.settings.get()
    policy = policy_of(row)
    return SettingsRead(
        allocation_strategy=policy.allocation_strategy,
        partial_reservations=policy.partial_reservations,
        updated_by=None if row is None else row.updated_by,
        updated_at=None if row is None else row.updated_at,
    )
