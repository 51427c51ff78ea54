"""Find what a request names, and lock what it is about to change."""

from collections.abc import Collection, Iterable
from datetime import datetime
from uuid import UUID

from rappit_inventory.domain.errors import InactiveWarehouseError, UnknownSkuError, UnknownWarehouseError
from rappit_inventory.domain.stock import Shelves
from rappit_inventory.models import Sku, Warehouse
from rappit_inventory.unit import InventoryUnit


async def find_sku(unit: InventoryUnit, code: str) -> Sku:
    """Return a SKU by its code, without regard to case.

    Raises:
        UnknownSkuError: No such SKU.
    """
    sku = await unit.catalogue.sku(code)
    if sku is None:
        raise _unknown_sku(code)
    return sku


async def find_skus(unit: InventoryUnit, codes: Iterable[str]) -> dict[str, UUID]:
    """Return the ids of SKUs by the codes asked for, without regard to case.

    Raises:
        UnknownSkuError: One of them is not there.
    """
    asked = list(codes)
    found = await unit.catalogue.resolve(asked)
    for code in asked:
        if code not in found:
            raise _unknown_sku(code)
    return found


def _unknown_sku(code: str) -> UnknownSkuError:
    return UnknownSkuError(f"Unknown SKU {code}: add it to the catalogue first.", sku=code)


async def find_warehouse(unit: InventoryUnit, code: str, *, only_active: bool = False) -> Warehouse:
    """Return a warehouse by its code, without regard to case.

    Raises:
        UnknownWarehouseError: No such warehouse.
        InactiveWarehouseError: It is not active, and must be.
    """
    warehouse = await unit.catalogue.warehouse(code)
    if warehouse is None:
        raise UnknownWarehouseError(f"Unknown warehouse {code}: add it first.", warehouse_code=code)
    if only_active and not warehouse.active:
        message = f"Warehouse {warehouse.code} is not active: activate it first."
        raise InactiveWarehouseError(message, warehouse_code=warehouse.code)
    return warehouse


async def hold_catalogue(unit: InventoryUnit, keys: Collection[tuple[UUID, UUID]], now: datetime) -> None:
    """Take the catalogue lock, and make the levels of ``keys`` that do not exist yet: only then is it exclusive."""
    missing = await unit.levels.missing(keys)
    if missing:
        await unit.locks.extend_catalogue()
        await unit.levels.ensure(missing, now)
    else:
        await unit.locks.read_catalogue()


async def lock_levels(unit: InventoryUnit, keys: Collection[tuple[UUID, UUID]], now: datetime) -> Shelves:
    """Return the locked levels of ``keys``' SKUs, each of ``keys`` among them."""
    await hold_catalogue(unit, keys, now)
    return await unit.levels.lock(sku_id for sku_id, _ in keys)
