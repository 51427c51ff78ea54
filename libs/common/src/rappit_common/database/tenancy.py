"""The first wall between tenants: every ORM statement is filtered by the unit of work's organization by itself."""

from dataclasses import dataclass
from typing import cast
from uuid import UUID

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import ORMExecuteState, Session, UOWTransaction, with_loader_criteria

from rappit_common.database.base import TenantScoped

_TENANCY = "rappit.tenancy"


@dataclass(frozen=True, slots=True)
class Tenant:
    """The organization whose rows a unit of work may see."""

    organization_id: UUID


@dataclass(frozen=True, slots=True)
class Bypass:
    """Leave to see every organization's rows, and why."""

    reason: str


Tenancy = Tenant | Bypass


class MissingTenantError(RuntimeError):
    """A statement ran without a tenant and without an explicit bypass: a bug, never a user's mistake."""


class ForeignTenantError(RuntimeError):
    """A row of another organization was about to be written: a bug, never a user's mistake."""


class TenantSession(Session):
    """The session class whose statements are scoped. Made by the unit of work only."""


def _tenancy_of(session: Session) -> Tenancy:
    tenancy: Tenancy | None = session.info.get(_TENANCY)
    if tenancy is None:
        raise MissingTenantError("a query needs a tenant: open it with units.begin(organization_id)")
    return tenancy


@event.listens_for(TenantSession, "do_orm_execute")
def _scope_statement(state: ORMExecuteState) -> None:  # pyright: ignore[reportUnusedFunction] - called by SQLAlchemy
    tenancy = _tenancy_of(state.session)
    if isinstance(tenancy, Bypass) or not (state.is_select or state.is_update or state.is_delete):
        return
    organization_id = tenancy.organization_id
    state.statement = state.statement.options(
        with_loader_criteria(
            TenantScoped,
            lambda mapped: mapped.organization_id == organization_id,
            include_aliases=True,
        )
    )


@event.listens_for(TenantSession, "before_flush")
def _stamp_new_rows(session: Session, _context: UOWTransaction, _instances: object) -> None:  # pyright: ignore[reportUnusedFunction] - called by SQLAlchemy
    tenancy = _tenancy_of(session)
    for row in session.new:
        if not isinstance(row, TenantScoped) or isinstance(tenancy, Bypass):
            continue
        # A column that was never set reads as None before the flush, whatever its type says.
        stamped = cast("UUID | None", row.organization_id)
        if stamped is None:
            row.organization_id = tenancy.organization_id
        elif stamped != tenancy.organization_id:
            raise ForeignTenantError(f"{type(row).__name__} of another organization in this unit of work")


async def apply_tenancy(session: AsyncSession, tenancy: Tenancy) -> None:
    """Open the transaction for a tenant: for the ORM filter, and for PostgreSQL's row-level security.

    Both settings end with the transaction, so a pooled connection carries nothing over to the next tenant.
    """
    session.sync_session.info[_TENANCY] = tenancy
    organization_id = str(tenancy.organization_id) if isinstance(tenancy, Tenant) else ""
    await session.execute(
        text(
            "SELECT set_config('rappit.organization_id', :organization_id, true),"
            " set_config('rappit.bypass_tenancy', :bypass, true)"
        ),
        {"organization_id": organization_id, "bypass": "on" if isinstance(tenancy, Bypass) else "off"},
    )
