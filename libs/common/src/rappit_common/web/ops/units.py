"""The transactions of the operator's endpoints: they see every tenant, and whoever acts is written down."""

from collections.abc import AsyncIterator
from typing import Annotated, cast

from fastapi import Depends, Request

from rappit_common.unit_of_work import UnitOfWork, UnitsOfWork
from rappit_common.web.auth import InvalidTokenError, MissingRoleError, Operator, OperatorViewer

REFUSED = (InvalidTokenError, MissingRoleError)


def units_of(request: Request) -> UnitsOfWork[UnitOfWork]:
    """Return what opens transactions in this process."""
    return cast("UnitsOfWork[UnitOfWork]", request.app.state.units)


async def _reading(request: Request, principal: OperatorViewer) -> AsyncIterator[UnitOfWork]:
    async with units_of(request).bypass_tenancy(f"operator {principal.label} reads dead letters") as unit:
        yield unit


async def _acting(request: Request, principal: Operator) -> AsyncIterator[UnitOfWork]:
    async with units_of(request).bypass_tenancy("operator acts on dead letters", actor=principal.label) as unit:
        yield unit


Reading = Annotated[UnitOfWork, Depends(_reading, scope="function")]
Acting = Annotated[UnitOfWork, Depends(_acting, scope="function")]
