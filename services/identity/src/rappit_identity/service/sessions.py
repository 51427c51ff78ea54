"""Signing in, staying signed in, signing out."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from rappit_common.clock import new_id
from rappit_common.logs import get_logger
from rappit_common.web.auth import Principal, Role

from rappit_identity.domain.accounts import AccountClosedError, login_key
from rappit_identity.domain.secrets import InvalidCredentialsError, digest, new_secret
from rappit_identity.models import ApiKey, Operator, Organization, RefreshToken, User
from rappit_identity.unit import IdentityUnit

REUSE_GRACE = timedelta(seconds=10)

_log = get_logger()


@dataclass(frozen=True, slots=True)
class FoundAccount:
    """An account as far as signing in needs it."""

    principal: Principal
    password_hash: str
    active: bool


@dataclass(frozen=True, slots=True)
class Session:
    """Who is signed in, and the token that continues the session; the token is known to its holder only."""

    principal: Principal
    refresh_token: str


@dataclass(frozen=True, slots=True)
class Profile:
    """What ``GET /auth/me`` tells."""

    principal: Principal
    kind: str
    email: str | None
    name: str
    organization: Organization | None


def principal_of(account: User | Operator) -> Principal:
    """Return whom an account's tokens prove."""
    organization_id = account.organization_id if isinstance(account, User) else None
    return Principal(account.id, organization_id, Role(account.role), account.email)


async def find_account(unit: IdentityUnit, email: str) -> FoundAccount | None:
    """Return the account that an e-mail address signs in to.

    Args:
        unit: Under a bypass, since the address is what tells the organization.
        email: As typed.
    """
    login = await unit.logins.find(login_key(email))
    if login is None:
        # An unknown address takes as many round trips as a known one.
        await unit.users.get(new_id())
        return None
    if login.user_id is not None:
        account = await unit.users.get(login.user_id)
    else:
        account = await unit.operators.get(login.operator_id) if login.operator_id else None
    if account is None:
        return None
    return FoundAccount(principal_of(account), account.password_hash, account.active)


async def sign_in(
    unit: IdentityUnit, proven: Principal, *, new_hash: str | None, now: datetime, lifetime: timedelta
) -> Session:
    """Open a session for somebody whose password was right a moment ago.

    Args:
        unit: The account's own, or under a bypass for an operator.
        proven: Whose password it was.
        new_hash: The password hashed with today's parameters, when the stored hash is weaker.
        now: The time of signing in.
        lifetime: Of the refresh token.

    Raises:
        InvalidCredentialsError: The account was closed in that moment.
    """
    account = await _lock_account(unit, proven)
    if account is None or not account.active:
        raise InvalidCredentialsError("The e-mail address or the password is wrong.")
    account.last_login_at = now
    if new_hash is not None:
        account.password_hash = new_hash
    principal = principal_of(account)
    return Session(principal, await _add_token(unit, principal, new_id(), now=now, lifetime=lifetime))


async def continue_session(unit: IdentityUnit, presented: str, *, now: datetime, lifetime: timedelta) -> Session | None:
    """Exchange a refresh token for its successor.

    A token that comes a second time was copied, by a thief or from one: whoever holds the other copy cannot be told
    apart from its owner, so the whole session ends. For a few seconds it is exchanged again instead: its owner may have
    asked twice at once, from two pages or through two replicas of the console, or have lost the first answer.

    Args:
        unit: Under a bypass, since the token itself names its holder.
        presented: The refresh token.
        now: The time of the exchange.
        lifetime: Of the successor.

    Returns:
        The session, or None when the token is refused. Not an error, which would roll back the session's end.
    """
    token = await unit.refresh_tokens.lock(digest(presented))
    if token is None:
        return None
    used_before = token.used_at is not None and now - token.used_at > REUSE_GRACE
    if used_before and token.revoked_at is None:
        await unit.refresh_tokens.revoke_family(token.family_id, now)
        _log.warning("refresh_token_reused", subject=str(token.user_id or token.operator_id))
        return None
    if token.revoked_at is not None or token.expires_at <= now:
        return None
    account = await _holder_of(unit, token)
    if account is None or not account.active:
        return None
    token.used_at = token.used_at or now
    principal = principal_of(account)
    return Session(principal, await _add_token(unit, principal, token.family_id, now=now, lifetime=lifetime))


async def sign_out(unit: IdentityUnit, presented: str, *, now: datetime) -> None:
    """End the session that a refresh token belongs to; an unknown token ends nothing, and is no error."""
    token = await unit.refresh_tokens.lock(digest(presented))
    if token is not None:
        await unit.refresh_tokens.revoke_family(token.family_id, now)


async def change_password(unit: IdentityUnit, principal: Principal, new_hash: str, *, now: datetime) -> None:
    """Store a new password and end every session of the account, since one of them may be why it is changed.

    Raises:
        AccountClosedError: The account is closed.
    """
    account = await _lock_account(unit, principal)
    if account is None or not account.active:
        raise AccountClosedError("This account is closed.")
    account.password_hash = new_hash
    await unit.refresh_tokens.revoke_holder(account.id, now)
    await unit.audit(
        principal.label, "password.change", "requested by its owner", organization_id=principal.organization_id
    )


async def profile_of(unit: IdentityUnit, principal: Principal) -> Profile:
    """Return who the caller is now, as opposed to when the token was made.

    Args:
        unit: The caller's own, or under a bypass for an operator.
        principal: Who the token proves.

    Raises:
        AccountClosedError: The account was closed, or the key revoked, since.
    """
    found: User | Operator | ApiKey | None
    if principal.organization_id is None:
        found = await unit.operators.get(principal.subject)
    else:
        found = await unit.users.get(principal.subject) or await unit.api_keys.get(principal.subject)
    organization = await unit.organizations.get(principal.organization_id) if principal.organization_id else None
    match found:
        case User() if found.active:
            return Profile(principal_of(found), "user", found.email, found.name, organization)
        case Operator() if found.active:
            return Profile(principal_of(found), "operator", found.email, found.email, None)
        case ApiKey() if found.revoked_at is None:
            return Profile(principal, "api_key", None, found.name, organization)
        case _:
            raise AccountClosedError("This account is closed: sign in with another.")


async def _lock_account(unit: IdentityUnit, principal: Principal) -> User | Operator | None:
    if principal.organization_id is None:
        return await unit.operators.lock(principal.subject)
    return await unit.users.lock(principal.subject)


async def _holder_of(unit: IdentityUnit, token: RefreshToken) -> User | Operator | None:
    if token.user_id is not None:
        return await unit.users.get(token.user_id)
    return await unit.operators.get(token.operator_id) if token.operator_id else None


async def _add_token(
    unit: IdentityUnit, principal: Principal, family_id: UUID, *, now: datetime, lifetime: timedelta
) -> str:
    secret = new_secret()
    is_user = principal.organization_id is not None
    await unit.refresh_tokens.add(
        RefreshToken(
            id=new_id(),
            family_id=family_id,
            organization_id=principal.organization_id,
            user_id=principal.subject if is_user else None,
            operator_id=None if is_user else principal.subject,
            token_hash=digest(secret),
            created_at=now,
            expires_at=now + lifetime,
        )
    )
    return secret
