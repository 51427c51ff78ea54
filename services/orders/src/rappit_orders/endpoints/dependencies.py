"""What endpoints ask for."""

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Annotated, cast

from fastapi import Depends, Request
from rappit_common.clock import utc_now
from rappit_common.unit_of_work import UnitsOfWork
from rappit_common.web.auth import Viewer, tenant_of

from rappit_orders.unit import OrdersUnit

Now = Annotated[datetime, Depends(utc_now)]


async def open_unit(request: Request, principal: Viewer) -> AsyncGenerator[OrdersUnit]:
    """Open the caller's transaction; who may write asks for a further role beside it."""
    units = cast("UnitsOfWork[OrdersUnit]", request.app.state.units)
    async with units.begin(tenant_of(principal)) as unit:
        yield unit


# "function" commits before the response leaves; the default commits after it, and a failing commit would answer 200.
Unit = Annotated[OrdersUnit, Depends(open_unit, scope="function")]
