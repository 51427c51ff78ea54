"""Who is asking: identity issues the tokens, every service verifies them by itself (ADR 0008)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, cast
from uuid import UUID

import jwt
import structlog
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import SecretStr

from rappit_common.clock import new_id
from rappit_common.errors import ForbiddenError, UnauthenticatedError

ISSUER = "rappit-identity"
AUDIENCE = "rappit"
ALGORITHM = "HS256"
LEEWAY_S = 10


class Role(StrEnum):
    """What a principal may do. The first three live in an organization, the last two run the platform."""

    OWNER = "owner"
    STAFF = "staff"
    VIEWER = "viewer"
    OPERATOR = "operator"
    OPERATOR_VIEWER = "operator_viewer"


_IMPLIED = {
    Role.OWNER: {Role.OWNER, Role.STAFF, Role.VIEWER},
    Role.STAFF: {Role.STAFF, Role.VIEWER},
    Role.VIEWER: {Role.VIEWER},
    Role.OPERATOR: {Role.OPERATOR, Role.OPERATOR_VIEWER},
    Role.OPERATOR_VIEWER: {Role.OPERATOR_VIEWER},
}


class InvalidTokenError(UnauthenticatedError):
    """The token is missing, forged, expired or not for us."""

    code = "invalid_token"


class MissingRoleError(ForbiddenError):
    """The caller's role does not allow this."""

    code = "missing_role"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking.

    Attributes:
        subject: The user's or API key's id.
        organization_id: Its tenant; None for the platform's operators.
        role: Its one role.
        label: How it is shown in audit logs and timelines (an e-mail address, a key's name).
    """

    subject: UUID
    organization_id: UUID | None
    role: Role
    label: str

    def may(self, role: Role) -> bool:
        """Tell whether this principal's role includes ``role``."""
        return role in _IMPLIED[self.role]


class Tokens:
    """Makes and verifies access tokens (JWT, HMAC-SHA256).

    Args:
        secret: ``JWT_SECRET``, the same in every service.
        previous: The secret before, still accepted, so that it can be rotated without signing anybody out.
    """

    def __init__(self, secret: SecretStr, previous: SecretStr | None = None) -> None:
        self._secret = secret.get_secret_value()
        self._accepted = [self._secret] + ([previous.get_secret_value()] if previous else [])

    def issue(self, principal: Principal, *, now: datetime, lifetime: timedelta) -> str:
        """Return a signed token that proves ``principal`` until ``now + lifetime``."""
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(principal.subject),
            "org": str(principal.organization_id) if principal.organization_id else None,
            "role": principal.role.value,
            "label": principal.label,
            "iat": now,
            "exp": now + lifetime,
            "jti": str(new_id()),
        }
        return jwt.encode(claims, self._secret, algorithm=ALGORITHM)

    def verify(self, token: str) -> Principal:
        """Return who a token proves.

        Raises:
            InvalidTokenError: Forged, expired, malformed, or made for something else.
        """
        for secret in self._accepted:
            try:
                claims = jwt.decode(
                    token,
                    secret,
                    algorithms=[ALGORITHM],
                    audience=AUDIENCE,
                    issuer=ISSUER,
                    leeway=LEEWAY_S,
                    options={"require": ["exp", "iat", "sub"]},
                )
                return Principal(
                    subject=UUID(claims["sub"]),
                    organization_id=UUID(claims["org"]) if claims.get("org") else None,
                    role=Role(claims["role"]),
                    label=str(claims.get("label", claims["sub"])),
                )
            except jwt.InvalidSignatureError:
                continue
            except jwt.ExpiredSignatureError:
                raise InvalidTokenError("The access token has expired: sign in again or refresh it.") from None
            except (jwt.PyJWTError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
                break
        raise InvalidTokenError("The access token is not valid: sign in again.")


_bearer = HTTPBearer(auto_error=False, description="`access_token` from `POST /auth/login` or `POST /auth/token`.")


async def authenticate(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Principal:
    """Return the caller, and bind it to the request's logs.

    Raises:
        InvalidTokenError: No good token came with the request.
    """
    if credentials is None:
        raise InvalidTokenError("Sign in first: send `Authorization: Bearer <access_token>`.")
    tokens = cast("Tokens", request.app.state.tokens)
    principal = tokens.verify(credentials.credentials)
    structlog.contextvars.bind_contextvars(
        organization_id=str(principal.organization_id) if principal.organization_id else None,
        subject=str(principal.subject),
    )
    return principal


Authenticated = Annotated[Principal, Depends(authenticate)]


def require(role: Role) -> Callable[[Principal], Awaitable[Principal]]:
    """Return a dependency that lets only callers with ``role`` in, and gives the caller.

    Merchant roles imply a tenant: ``organization_id`` is never None behind them.
    """

    async def check(principal: Authenticated) -> Principal:
        if not principal.may(role):
            raise MissingRoleError(
                f"This needs the role {role.value}; you are {principal.role.value}.", role=role.value
            )
        return principal

    return check


Viewer = Annotated[Principal, Depends(require(Role.VIEWER))]
Staff = Annotated[Principal, Depends(require(Role.STAFF))]
Owner = Annotated[Principal, Depends(require(Role.OWNER))]
Operator = Annotated[Principal, Depends(require(Role.OPERATOR))]
OperatorViewer = Annotated[Principal, Depends(require(Role.OPERATOR_VIEWER))]


def tenant_of(principal: Principal) -> UUID:
    """Return the caller's organization.

    Raises:
        MissingRoleError: The caller is an operator, who belongs to none.
    """
    if principal.organization_id is None:
        raise MissingRoleError("Operators belong to no organization: sign in as one of its users.")
    return principal.organization_id
