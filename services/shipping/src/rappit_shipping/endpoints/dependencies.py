"""What endpoints ask for."""

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Annotated, cast

from fastapi import Depends, Request
from rappit_common.clock import utc_now
from rappit_common.unit_of_work import UnitsOfWork
from rappit_common.web.auth import Viewer, tenant_of

from rappit_shipping.flows.desk import Desk
from rappit_shipping.flows.tasks import ShieldedTasks
from rappit_shipping.unit import ShippingUnit

Now = Annotated[datetime, Depends(utc_now)]


async def open_unit(request: Request, principal: Viewer) -> AsyncGenerator[ShippingUnit]:
    """Open the caller's transaction; who may write asks for a further role beside it."""
    units = cast("UnitsOfWork[ShippingUnit]", request.app.state.units)
    async with units.begin(tenant_of(principal)) as unit:
        yield unit


# "function" commits before the response leaves; the default commits after it, and a failing commit would answer 200.
Unit = Annotated[ShippingUnit, Depends(open_unit, scope="function")]


def desk_of(request: Request) -> Desk:
    """Return where labels are bought and given back; such calls open their own transactions."""
    return cast("Desk", request.app.state.desk)


def tasks_of(request: Request) -> ShieldedTasks:
    """Return what runs work that outlives its request."""
    return cast("ShieldedTasks", request.app.state.tasks)


TheDesk = Annotated[Desk, Depends(desk_of)]
Tasks = Annotated[ShieldedTasks, Depends(tasks_of)]
