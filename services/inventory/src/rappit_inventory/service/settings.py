"""Choose how an organization's orders are served."""

from datetime import datetime

from rappit_common.logs import get_logger

from rappit_inventory.domain.allocation import Strategy
from rappit_inventory.domain.policy import StockPolicy
from rappit_inventory.models.reservations import StockSettingsRow
from rappit_inventory.service.announcements import announce_arrival
from rappit_inventory.unit import InventoryUnit

_log = get_logger()


async def choose_policy(unit: InventoryUnit, policy: StockPolicy, *, actor: str, now: datetime) -> None:
    """Choose how orders are served from now on; what they hold already stays where it lies.

    Where orders may have a part from now on, those that wait are given what there is. Where they may not any more, one
    that holds a part keeps it until it is looked at again: until it is changed, or can have all.
    """
    # Alone, because who reserves decides by it.
    await unit.locks.extend_catalogue()
    before = policy_of(await unit.settings.get())
    await unit.settings.put(policy, actor=actor, now=now)
    _log.info(
        "stock_settings_changed",
        actor=actor,
        allocation_strategy=policy.allocation_strategy.value,
        partial_reservations=policy.partial_reservations,
    )
    if policy.partial_reservations and not before.partial_reservations:
        announce_arrival(unit, await unit.demands.awaited_anywhere(), now=now)


def policy_of(row: StockSettingsRow | None) -> StockPolicy:
    """Return what settings say, and the defaults when there are none."""
    if row is None:
        return StockPolicy()
    return StockPolicy(Strategy(row.allocation_strategy), row.partial_reservations)
