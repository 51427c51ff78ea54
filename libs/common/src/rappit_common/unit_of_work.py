"""One request or one message is one transaction, opened and committed only at the edge."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from rappit_common.database.engine import Database
from rappit_common.database.tenancy import Bypass, Tenancy, Tenant, TenantSession, apply_tenancy
from rappit_common.logs import get_logger
from rappit_common.messaging import tables
from rappit_common.messaging.inbox import Inbox
from rappit_common.messaging.outbox import Outbox
from rappit_common.tracing import current_trace_id


class _Opening:
    """Whether a unit of work is still open: a task begun inside of one inherits the mark, and may outlive it."""

    __slots__ = ("ended",)

    def __init__(self) -> None:
        self.ended = False


_open: ContextVar[_Opening | None] = ContextVar("rappit_unit_of_work_open", default=None)
_log = get_logger()


class NestedUnitOfWorkError(RuntimeError):
    """A unit of work was opened inside another: two transactions would commit apart. A bug."""


class UnitOfWork:
    """A transaction for one tenant, with its repositories, outbox and inbox.

    A service derives its own, with a property a repository. Nothing below the edge commits it.
    """

    def __init__(self, session: AsyncSession, tenancy: Tenancy) -> None:
        self.session = session
        self.tenancy = tenancy
        self.outbox = Outbox(session)
        self.inbox = Inbox(session)

    @property
    def organization_id(self) -> UUID:
        """The tenant of this unit of work.

        Raises:
            RuntimeError: It was opened with a bypass and has no tenant.
        """
        if isinstance(self.tenancy, Tenant):
            return self.tenancy.organization_id
        raise RuntimeError("this unit of work bypasses tenancy and has no organization")

    async def audit(
        self, actor: str, action: str, reason: str, *, organization_id: UUID | None = None, **detail: Any
    ) -> None:
        """Append who did what and why to the service's immutable audit log."""
        await self.session.execute(
            insert(tables.audit_log).values(
                actor=actor,
                action=action,
                reason=reason,
                organization_id=organization_id,
                detail=detail,
                trace_id=current_trace_id(),
            )
        )


UnitT = TypeVar("UnitT", bound=UnitOfWork)


class UnitsOfWork(Generic[UnitT]):
    """Opens units of work; the only place that begins and commits transactions.

    Args:
        database: Where.
        kind: The service's unit of work.
        nudge: Called after a commit that wrote to the outbox, to wake the relay of this process at once.
        has_relay: False where no process ever drains the outbox, which then refuses to be written to.
    """

    def __init__(
        self,
        database: Database,
        kind: type[UnitT],
        nudge: Callable[[], None] = lambda: None,
        *,
        has_relay: bool = True,
    ) -> None:
        self.database = database
        self._has_relay = has_relay
        self._kind = kind
        self._nudge = nudge
        self._sessions = async_sessionmaker(
            database.engine, sync_session_class=TenantSession, expire_on_commit=False, autobegin=True
        )

    @asynccontextmanager
    async def begin(self, organization_id: UUID) -> AsyncGenerator[UnitT]:
        """Open a transaction for one tenant; commit on success, roll back on any error."""
        async with self._begin(Tenant(organization_id)) as unit:
            yield unit

    @asynccontextmanager
    async def bypass_tenancy(self, reason: str, *, actor: str | None = None) -> AsyncGenerator[UnitT]:
        """Open a transaction that sees every tenant.

        Args:
            reason: Why this is needed, for the log.
            actor: The person who asked, when it is one; then the bypass is also written to the audit log.
        """
        _log.debug("tenancy_bypassed", reason=reason, actor=actor)
        async with self._begin(Bypass(reason)) as unit:
            if actor is not None:
                await unit.audit(actor, "tenancy.bypass", reason)
            yield unit

    @asynccontextmanager
    async def _begin(self, tenancy: Tenancy) -> AsyncGenerator[UnitT]:
        outer = _open.get()
        if outer is not None and not outer.ended:
            raise NestedUnitOfWorkError("a unit of work is already open: pass it on instead of opening another")
        opening = _Opening()
        _open.set(opening)
        try:
            async with self._sessions() as session:
                async with session.begin():
                    await apply_tenancy(session, tenancy)
                    unit = self._kind(session, tenancy)
                    unit.outbox.has_relay = self._has_relay
                    yield unit
                    await unit.outbox.flush()
                if unit.outbox.used:
                    self._nudge()
        finally:
            # By the mark and not by the variable: FastAPI may finish a dependency in another context than it began in.
            opening.ended = True
