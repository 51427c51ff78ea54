"""Mapped tables.

An e-mail address signs in to one account of the whole platform, since signing in asks for nothing else and must find
the organization. ``logins`` holds that promise: one row an address, for users and operators alike. Operators have a
table of their own, since they belong to no organization and a user always does.

Every table is behind row-level security: those with an ``organization_id`` show a tenant its own rows (a row without
one shows only under a bypass), ``organizations`` shows a tenant itself, ``operators`` shows under a bypass only.
"""

from datetime import datetime
from uuid import UUID

from rappit_common.clock import new_id
from rappit_common.database.base import NAMING, Base, TenantScoped
from sqlalchemy import (
    CheckConstraint,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    MetaData,
    String,
    Text,
    Uuid,
)
from sqlalchemy.orm import Mapped, mapped_column

_MERCHANT_ROLE = "role IN ('owner', 'staff', 'viewer')"
_ONE_HOLDER = "(user_id IS NULL) <> (operator_id IS NULL) AND (user_id IS NULL) = (organization_id IS NULL)"


class IdentityBase(Base):
    """Base of this service's tables."""

    __abstract__ = True
    metadata = MetaData(naming_convention=NAMING)


class Organization(IdentityBase):
    """A merchant: the tenant itself."""

    __tablename__ = "organizations"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(200))
    slug: Mapped[str] = mapped_column(String(63), unique=True)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class User(TenantScoped, IdentityBase):
    """A person of an organization."""

    __tablename__ = "users"
    __table_args__ = (
        ForeignKeyConstraint(["organization_id"], ["organizations.id"]),
        CheckConstraint(_MERCHANT_ROLE, "role"),
        Index(None, "organization_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=new_id)
    email: Mapped[str] = mapped_column(String(254))
    name: Mapped[str] = mapped_column(String(200))
    role: Mapped[str] = mapped_column(String(20))
    password_hash: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    last_login_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    deactivated_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    @property
    def active(self) -> bool:
        """Whether the user may sign in."""
        return self.deactivated_at is None


class Operator(IdentityBase):
    """A person who runs the platform."""

    __tablename__ = "operators"
    __table_args__ = (CheckConstraint("role IN ('operator', 'operator_viewer')", "role"),)

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=new_id)
    email: Mapped[str] = mapped_column(String(254))
    role: Mapped[str] = mapped_column(String(20))
    password_hash: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    last_login_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    deactivated_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    @property
    def active(self) -> bool:
        """Whether the operator may sign in."""
        return self.deactivated_at is None


class Login(IdentityBase):
    """Whose e-mail address it is; the address in lower case."""

    __tablename__ = "logins"
    __table_args__ = (CheckConstraint(_ONE_HOLDER, "one_holder"),)

    email: Mapped[str] = mapped_column(String(254), primary_key=True)
    organization_id: Mapped[UUID | None] = mapped_column(ForeignKey("organizations.id"))
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id"), unique=True)
    operator_id: Mapped[UUID | None] = mapped_column(ForeignKey("operators.id"), unique=True)


class RefreshToken(IdentityBase):
    """One link of a session: a token is used once, and its successor belongs to the same family."""

    __tablename__ = "refresh_tokens"
    __table_args__ = (CheckConstraint(_ONE_HOLDER, "one_holder"),)

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=new_id)
    family_id: Mapped[UUID] = mapped_column(Uuid, index=True)
    organization_id: Mapped[UUID | None] = mapped_column(ForeignKey("organizations.id"))
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id"), index=True)
    operator_id: Mapped[UUID | None] = mapped_column(ForeignKey("operators.id"), index=True)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)
    used_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    revoked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class ApiKey(TenantScoped, IdentityBase):
    """A program's way in; its secret is stored as a hash only."""

    __tablename__ = "api_keys"
    __table_args__ = (
        ForeignKeyConstraint(["organization_id"], ["organizations.id"]),
        CheckConstraint(_MERCHANT_ROLE, "role"),
        Index(None, "organization_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(200))
    role: Mapped[str] = mapped_column(String(20))
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary)
    created_by: Mapped[str] = mapped_column(String(254))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    last_used_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    revoked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
