"""Extend the catalogue: SKUs and warehouses."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from rappit_common.clock import new_id

from rappit_inventory.domain.errors import SkuExistsError, WarehouseExistsError
from rappit_inventory.models import Sku, Warehouse
from rappit_inventory.repository.catalogue import NewSku
from rappit_inventory.service.announcements import announce_arrival
from rappit_inventory.unit import InventoryUnit


@dataclass(frozen=True, slots=True)
class NewWarehouse:
    """A warehouse to be added; the lowest priority ships first."""

    code: str
    name: str
    priority: int
    country_code: str | None


async def add_skus(unit: InventoryUnit, skus: Sequence[NewSku], *, now: datetime) -> dict[UUID, NewSku]:
    """Add the SKUs whose codes are free; returns those. Orders that waited for one of them are served."""
    await unit.locks.extend_catalogue()
    added = await unit.catalogue.add_skus(skus)
    announce_arrival(unit, await unit.demands.awaited_by_code(added), now=now)
    return added


async def add_sku(unit: InventoryUnit, sku: NewSku, *, now: datetime) -> Sku:
    """Add one SKU.

    Raises:
        SkuExistsError: Its code is taken.
    """
    if not await add_skus(unit, [sku], now=now):
        raise SkuExistsError(
            f"There is a SKU {sku.code} already; codes are unique without regard to case.", sku=sku.code
        )
    added = await unit.catalogue.sku(sku.code)
    assert added is not None  # noqa: S101 - added above
    return added


async def add_warehouse(unit: InventoryUnit, warehouse: NewWarehouse, *, now: datetime) -> Warehouse:
    """Add a warehouse; stock comes to it by imports and adjustments.

    Raises:
        WarehouseExistsError: Its code is taken.
    """
    row = Warehouse(
        id=new_id(),
        code=warehouse.code,
        name=warehouse.name,
        priority=warehouse.priority,
        country_code=warehouse.country_code,
        created_at=now,
    )
    if not await unit.catalogue.add_warehouse(row):
        message = f"There is a warehouse {warehouse.code} already; codes are unique without regard to case."
        raise WarehouseExistsError(message, warehouse_code=warehouse.code)
    return row
