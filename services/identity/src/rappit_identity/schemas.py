"""HTTP bodies."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from rappit_common.web.auth import Role

from rappit_identity.domain.accounts import MAX_EMAIL_CHARACTERS, MerchantRole
from rappit_identity.domain.secrets import MAX_API_KEY_CHARACTERS, MAX_REFRESH_TOKEN_CHARACTERS

MAX_PASSWORD_CHARACTERS = 1_024

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Email = Annotated[str, Field(max_length=MAX_EMAIL_CHARACTERS, examples=["owner@example.com"])]
Password = Annotated[str, Field(max_length=MAX_PASSWORD_CHARACTERS, description="At least 12 characters when new.")]


class Body(BaseModel):
    """A request's body; a member nobody knows is a mistake worth telling."""

    model_config = ConfigDict(extra="forbid")


class FromRow(BaseModel):
    """An answer read from a mapped row."""

    model_config = ConfigDict(from_attributes=True)


class LoginBody(Body):
    """Sign in with a password."""

    email: Email
    password: Password


class RefreshBody(Body):
    """A refresh token: to continue or to end its session."""

    refresh_token: Annotated[str, Field(max_length=MAX_REFRESH_TOKEN_CHARACTERS)]


class ApiKeyBody(Body):
    """Sign in with an API key."""

    api_key: Annotated[str, Field(max_length=MAX_API_KEY_CHARACTERS)]


class PasswordBody(Body):
    """Change one's own password."""

    current_password: Password
    new_password: Password


class AccessToken(BaseModel):
    """Proof of who asks, for ``Authorization: Bearer``."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - a kind of token, not one
    expires_in_s: int


class TokenPair(AccessToken):
    """The proof, and the token that continues the session: good for one use."""

    refresh_token: str


class OrganizationRead(FromRow):
    """A merchant."""

    id: UUID
    name: str
    slug: str
    created_at: datetime


class Me(BaseModel):
    """Who is asking, as of now."""

    id: UUID
    kind: Literal["user", "operator", "api_key"]
    email: str | None
    name: str
    role: Role
    organization_id: UUID | None
    organization: OrganizationRead | None


class OwnerBody(Body):
    """The first user of an organization."""

    email: Email
    name: Name
    password: Password


class OrganizationBody(Body):
    """A merchant to onboard."""

    name: Name
    slug: Annotated[str, Field(max_length=63, examples=["acme-outdoor"])]
    owner: OwnerBody


class UserBody(Body):
    """A person to give an account."""

    email: Email
    name: Name
    role: MerchantRole
    password: Password


class UserPatch(Body):
    """What to change of a user; what is absent stays. ``active: false`` closes the account and ends its sessions."""

    name: Name | None = None
    role: MerchantRole | None = None
    active: bool | None = None


class UserRead(FromRow):
    """A person of an organization."""

    id: UUID
    organization_id: UUID
    email: str
    name: str
    role: MerchantRole
    active: bool
    created_at: datetime
    last_login_at: datetime | None


class OrganizationCreated(OrganizationRead):
    """A merchant just onboarded."""

    owner: UserRead


class ApiKeyCreate(Body):
    """A key to make."""

    name: Name
    role: MerchantRole


class ApiKeyRead(FromRow):
    """A key, without its secret."""

    id: UUID
    name: str
    role: MerchantRole
    created_by: str
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


class ApiKeyCreated(ApiKeyRead):
    """A key with its secret, shown this once."""

    api_key: str
