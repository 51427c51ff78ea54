"""Composition of the service."""

from datetime import timedelta

from fastapi import FastAPI
from rappit_common.clock import utc_now
from rappit_common.limits import limit_source
from rappit_common.periodic import Periodic, in_batches
from rappit_common.service import Part, Runtime, StatefulService
from rappit_common.unit_of_work import UnitsOfWork

from rappit_identity.domain.passwords import Passwords
from rappit_identity.endpoints import api_keys, organizations, sessions, users
from rappit_identity.endpoints.dependencies import Identity
from rappit_identity.settings import IdentitySettings
from rappit_identity.unit import IdentityUnit

PURGE_EVERY_S = 600.0
PURGE_ROWS = 5_000
# Kept a while after they expired, so that the reuse of a stolen one can still be looked into.
KEEP_EXPIRED = timedelta(days=7)


class SessionPurge(Periodic):
    """Removes refresh tokens that expired a week ago, a bounded number at a time."""

    def __init__(self, units: UnitsOfWork[IdentityUnit]) -> None:
        super().__init__("session-purge", every_s=PURGE_EVERY_S)
        self._units = units

    async def act(self) -> None:
        """Remove all that expired long enough ago."""
        await in_batches(self.purge, PURGE_ROWS)

    async def purge(self) -> int:
        """Remove one batch. Returns how many tokens went."""
        async with self._units.bypass_tenancy("expired sessions are removed for every organization") as unit:
            return await unit.refresh_tokens.remove_expired(utc_now() - KEEP_EXPIRED, PURGE_ROWS)


def install_api(app: FastAPI, runtime: Runtime[IdentitySettings, IdentityUnit]) -> None:
    """Add the service's endpoints and what they share."""
    settings = runtime.settings
    app.state.identity = Identity(
        units=runtime.units,
        tokens=runtime.tokens,
        passwords=Passwords(),
        # Fails open: with Redis away, a stranger may guess faster for a while, at 30 ms of argon2 a guess; failing
        # closed would sign everybody out, since access tokens last 15 minutes.
        auth_limit=limit_source(runtime.limits, "auth", per_minute=settings.auth_limit_per_minute, fail_open=True),
        access_token_lifetime=settings.access_token_lifetime,
        refresh_token_lifetime=settings.refresh_token_lifetime,
    )
    for module in (sessions, organizations, users, api_keys):
        app.include_router(module.router)


def parts(runtime: Runtime[IdentitySettings, IdentityUnit], role: str) -> list[Part]:
    """Return the background parts of a role."""
    return [SessionPurge(runtime.units)] if role == "api" else []


SERVICE = StatefulService(
    name="identity",
    schema="identity",
    module="rappit_identity",
    prefix="/auth",
    settings=IdentitySettings,
    unit=IdentityUnit,
    install_api=install_api,
    parts=parts,
    uses_broker=False,
)
