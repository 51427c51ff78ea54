"""What endpoints ask for."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, cast

from fastapi import Depends, Request
from rappit_common.clock import utc_now
from rappit_common.unit_of_work import UnitsOfWork
from rappit_common.web.auth import Staff, Viewer, tenant_of

from rappit_inventory.unit import InventoryUnit


def units_of(request: Request) -> UnitsOfWork[InventoryUnit]:
    """Return what opens this process's transactions."""
    return cast("UnitsOfWork[InventoryUnit]", request.app.state.units)


async def open_for_reading(request: Request, principal: Viewer) -> AsyncIterator[InventoryUnit]:
    """Open the caller's transaction; any member may read."""
    async with units_of(request).begin(tenant_of(principal)) as unit:
        yield unit


async def open_for_writing(request: Request, principal: Staff) -> AsyncIterator[InventoryUnit]:
    """Open the caller's transaction; staff may write."""
    async with units_of(request).begin(tenant_of(principal)) as unit:
        yield unit


# "function" commits before the response leaves; the default would answer 201 to a failing commit.
ReadUnit = Annotated[InventoryUnit, Depends(open_for_reading, scope="function")]
WriteUnit = Annotated[InventoryUnit, Depends(open_for_writing, scope="function")]
Now = Annotated[datetime, Depends(utc_now)]
