"""Extend and change the catalogue: SKUs and warehouses."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from rappit_common.clock import new_id

from rappit_inventory.domain.errors import SkuExistsError, TooManyMatchesError, WarehouseExistsError
from rappit_inventory.models import Sku, Warehouse
from rappit_inventory.repository.catalogue import NewSku
from rappit_inventory.repository.import_announcements import event_headers
from rappit_inventory.service.announcements import announce_arrival, announce_levels
from rappit_inventory.service.lookup import find_sku, find_warehouse
from rappit_inventory.unit import InventoryUnit

MAX_MATCHES = 1_000


@dataclass(frozen=True, slots=True)
class NewWarehouse:
    """A warehouse to be added; the lowest priority ships first."""

    code: str
    name: str
    priority: int
    country_code: str | None
    address: dict[str, Any] | None = None
    active: bool = True


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
        address=warehouse.address,
        active=warehouse.active,
        created_at=now,
    )
    if not await unit.catalogue.add_warehouse(row):
        message = f"There is a warehouse {warehouse.code} already; codes are unique without regard to case."
        raise WarehouseExistsError(message, warehouse_code=warehouse.code)
    return row


async def change_sku(unit: InventoryUnit, code: str, values: Mapping[str, Any], *, now: datetime) -> Sku:
    """Change facts of a SKU. Orders that wait for one that is activated are served.

    A SKU that is not active is promised to nobody new; what orders hold of it they keep, and may be shipped.

    Raises:
        UnknownSkuError: No such SKU.
    """
    # Alone, because who reserves decides by whether a SKU is active.
    await unit.locks.extend_catalogue()
    sku = await find_sku(unit, code)
    was_active = sku.active
    await unit.catalogue.change(sku, values)
    if sku.active != was_active:
        shelves = await unit.levels.lock([sku.id])
        announce_levels(unit, shelves.of_sku(sku.id), now=now)
        if sku.active:
            announce_arrival(unit, await unit.demands.awaited([sku.id]), now=now)
    return sku


async def change_warehouse(unit: InventoryUnit, code: str, values: Mapping[str, Any], *, now: datetime) -> Warehouse:
    """Change facts of a warehouse. Orders that wait for what lies in one that is activated are served.

    A warehouse that is not active keeps its stock, and what is reserved there may be shipped; nothing more is promised
    from it, and imports pass it by.

    Raises:
        UnknownWarehouseError: No such warehouse.
    """
    await unit.locks.extend_catalogue()
    warehouse = await find_warehouse(unit, code)
    was_active = warehouse.active
    await unit.catalogue.change(warehouse, values)
    if warehouse.active != was_active:
        unit.forget_availability()
        await unit.level_list.announce_warehouse(warehouse.id, json.dumps(event_headers(unit.organization_id)), now)
        unit.outbox.used = True
        if warehouse.active:
            announce_arrival(unit, await unit.demands.awaited_in(warehouse.id), now=now)
    return warehouse


async def search_skus(unit: InventoryUnit, beginning: str) -> list[UUID]:
    """Return the SKUs whose code, name or barcode begins with a text.

    Raises:
        TooManyMatchesError: More than 1,000 do: a list that left some out would not be the list that was asked for.
    """
    found = await unit.catalogue.matching(beginning.strip(), limit=MAX_MATCHES + 1)
    if len(found) > MAX_MATCHES:
        raise TooManyMatchesError(f"More than {MAX_MATCHES} SKUs begin with {beginning.strip()!r}: write more of it.")
    return found
