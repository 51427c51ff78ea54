"""``/auth``: signing in and out. All of it is limited per source address."""

from contextlib import AbstractAsyncContextManager
from datetime import datetime

from fastapi import APIRouter, Depends
from rappit_common.errors import TooManyRequestsError
from rappit_common.web.auth import Authenticated, InvalidTokenError, MissingRoleError, Principal
from rappit_common.web.problems import errors

from rappit_identity.domain.accounts import AccountClosedError
from rappit_identity.domain.passwords import WeakPasswordError, check_password
from rappit_identity.domain.secrets import InvalidApiKeyError, InvalidCredentialsError, InvalidRefreshTokenError
from rappit_identity.endpoints.dependencies import Identity, Now, Shared, limit_auth
from rappit_identity.schemas import (
    AccessToken,
    ApiKeyBody,
    LoginBody,
    Me,
    OrganizationRead,
    PasswordBody,
    RefreshBody,
    TokenPair,
)
from rappit_identity.service import api_keys, sessions
from rappit_identity.service.sessions import FoundAccount, Session
from rappit_identity.unit import IdentityUnit

router = APIRouter(prefix="/auth", tags=["auth"], dependencies=[Depends(limit_auth)])

_WRONG = "The e-mail address or the password is wrong."


@router.post("/login", responses=errors(InvalidCredentialsError, TooManyRequestsError))
async def login(body: LoginBody, shared: Shared, now: Now) -> TokenPair:
    """Sign in with a password. An unknown address and a wrong password get the same answer after the same time."""
    async with shared.units.bypass_tenancy("the e-mail address tells the organization") as unit:
        account = await sessions.find_account(unit, body.email)
    account = await _proven(shared, account, body.password)
    # Between the two transactions, so that no connection waits for the hashing.
    new_hash = (
        await shared.passwords.hash(body.password) if shared.passwords.needs_rehash(account.password_hash) else None
    )
    return await _open_session(shared, account.principal, new_hash, now)


@router.post("/refresh", responses=errors(InvalidRefreshTokenError, TooManyRequestsError))
async def refresh(body: RefreshBody, shared: Shared, now: Now) -> TokenPair:
    """Exchange a refresh token, good for one use, for a new pair. A second use ends the session."""
    async with shared.units.bypass_tenancy("the refresh token tells its holder") as unit:
        session = await sessions.continue_session(
            unit, body.refresh_token, now=now, lifetime=shared.refresh_token_lifetime
        )
    if session is None:
        raise InvalidRefreshTokenError("The session has ended: sign in again.")
    return _pair(shared, session, now)


@router.post("/logout", status_code=204, responses=errors(TooManyRequestsError))
async def logout(body: RefreshBody, shared: Shared, now: Now) -> None:
    """End the session of a refresh token; ending it again is fine."""
    async with shared.units.bypass_tenancy("the refresh token tells its holder") as unit:
        await sessions.sign_out(unit, body.refresh_token, now=now)


@router.post("/token", responses=errors(InvalidApiKeyError, TooManyRequestsError))
async def token(body: ApiKeyBody, shared: Shared, now: Now) -> AccessToken:
    """Sign in with an API key; when the access token has expired, do it again."""
    async with shared.units.bypass_tenancy("the API key tells its organization") as unit:
        principal = await api_keys.sign_in_with_key(unit, body.api_key, now=now)
    return _access(shared, principal, now)


@router.get("/me", responses=errors(InvalidTokenError, AccountClosedError, TooManyRequestsError))
async def me(shared: Shared, principal: Authenticated) -> Me:
    """Tell who is asking, as of now: a role changed since the token was made shows here first."""
    async with _own_unit(shared, principal) as unit:
        profile = await sessions.profile_of(unit, principal)
    organization = OrganizationRead.model_validate(profile.organization) if profile.organization else None
    return Me.model_validate(
        {
            "id": principal.subject,
            "kind": profile.kind,
            "email": profile.email,
            "name": profile.name,
            "role": profile.principal.role,
            "organization_id": principal.organization_id,
            "organization": organization,
        }
    )


@router.post(
    "/password",
    responses=errors(
        InvalidTokenError,
        InvalidCredentialsError,
        AccountClosedError,
        MissingRoleError,
        WeakPasswordError,
        TooManyRequestsError,
    ),
)
async def change_password(body: PasswordBody, shared: Shared, principal: Authenticated, now: Now) -> TokenPair:
    """Change one's own password: every session ends, and a new one begins here."""
    async with shared.units.bypass_tenancy("an account changes its own password") as unit:
        account = await sessions.find_account(unit, principal.label)
    if account is None or account.principal.subject != principal.subject:
        raise MissingRoleError("Only people have passwords: an API key is replaced by another.")
    check_password(body.new_password, principal.label)
    await _proven(shared, account, body.current_password)
    new_hash = await shared.passwords.hash(body.new_password)
    async with _own_unit(shared, principal) as unit:
        await sessions.change_password(unit, principal, new_hash, now=now)
    return await _open_session(shared, account.principal, None, now)


async def _proven(shared: Identity, account: FoundAccount | None, password: str) -> FoundAccount:
    matches = await shared.passwords.verify(account.password_hash if account else None, password)
    if account is None or not matches or not account.active:
        raise InvalidCredentialsError(_WRONG)
    return account


async def _open_session(shared: Identity, principal: Principal, new_hash: str | None, now: datetime) -> TokenPair:
    async with _own_unit(shared, principal) as unit:
        session = await sessions.sign_in(
            unit, principal, new_hash=new_hash, now=now, lifetime=shared.refresh_token_lifetime
        )
    return _pair(shared, session, now)


def _own_unit(shared: Identity, principal: Principal) -> AbstractAsyncContextManager[IdentityUnit]:
    if principal.organization_id is not None:
        return shared.units.begin(principal.organization_id)
    return shared.units.bypass_tenancy("operators belong to no organization")


def _access(shared: Identity, principal: Principal, now: datetime) -> AccessToken:
    lifetime = shared.access_token_lifetime
    signed = shared.tokens.issue(principal, now=now, lifetime=lifetime)
    return AccessToken(access_token=signed, expires_in_s=int(lifetime.total_seconds()))


def _pair(shared: Identity, session: Session, now: datetime) -> TokenPair:
    access = _access(shared, session.principal, now)
    return TokenPair(
        access_token=access.access_token, expires_in_s=access.expires_in_s, refresh_token=session.refresh_token
    )
