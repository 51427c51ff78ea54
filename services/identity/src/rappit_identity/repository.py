"""All SQL of the service."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import CursorResult, Select, delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase

from rappit_identity.domain.accounts import MerchantRole
from rappit_identity.models import ApiKey, Login, Operator, Organization, RefreshToken, User

RowT = TypeVar("RowT", bound=DeclarativeBase)


@dataclass(frozen=True, slots=True)
class Slice(Generic[RowT]):
    """Rows of one page, newest first, and whether more follow."""

    rows: Sequence[RowT]
    more: bool


class _Rows:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def _slice(self, statement: Select[RowT], limit: int) -> Slice[RowT]:
        rows = (await self._session.scalars(statement.limit(limit + 1))).all()
        return Slice(rows[:limit], len(rows) > limit)

    async def _count(self, statement: Any) -> int:
        result = await self._session.execute(statement)
        return result.rowcount if isinstance(result, CursorResult) else 0


class OrganizationRepository(_Rows):
    """Merchants. A tenant's unit of work sees its own only; not an ORM-filtered table, but a walled one."""

    async def add(self, organization: Organization) -> bool:
        """Add it. Returns False when its slug is taken."""
        statement = (
            insert(Organization)
            .values(
                id=organization.id,
                name=organization.name,
                slug=organization.slug,
                created_at=organization.created_at,
            )
            .on_conflict_do_nothing(index_elements=["slug"])
            .returning(Organization.id)
        )
        return (await self._session.execute(statement)).scalar_one_or_none() is not None

    async def get(self, organization_id: UUID) -> Organization | None:
        """Return one, or None."""
        return await self._session.scalar(select(Organization).where(Organization.id == organization_id))

    async def newest(self, *, limit: int, before: UUID | None) -> Slice[Organization]:
        """Return a page, the newest first."""
        statement = select(Organization).order_by(Organization.id.desc())
        return await self._slice(statement if before is None else statement.where(Organization.id < before), limit)


class LoginRepository(_Rows):
    """Which account an e-mail address signs in to."""

    async def claim_for_user(self, email: str, organization_id: UUID, user_id: UUID) -> bool:
        """Reserve an address. Returns False when any account of the platform has it, in whatever organization."""
        return await self._claim(email=email, organization_id=organization_id, user_id=user_id)

    async def claim_for_operator(self, email: str, operator_id: UUID) -> bool:
        """Reserve an address. Returns False when another account has it."""
        return await self._claim(email=email, operator_id=operator_id)

    async def _claim(self, **values: Any) -> bool:
        statement = (
            insert(Login).values(**values).on_conflict_do_nothing(index_elements=["email"]).returning(Login.email)
        )
        return (await self._session.execute(statement)).scalar_one_or_none() is not None

    async def find(self, email: str) -> Login | None:
        """Return whose address it is."""
        return await self._session.scalar(select(Login).where(Login.email == email))


class UserRepository(_Rows):
    """Users of the unit of work's organization, or of all under a bypass."""

    async def add(self, user: User) -> None:
        """Add a user."""
        self._session.add(user)
        await self._session.flush()

    async def get(self, user_id: UUID) -> User | None:
        """Return one, or None."""
        return await self._session.scalar(select(User).where(User.id == user_id))

    async def lock(self, user_id: UUID) -> User | None:
        """Return one that nobody else changes until this transaction ends."""
        statement = select(User).where(User.id == user_id).with_for_update().execution_options(populate_existing=True)
        return await self._session.scalar(statement)

    async def lock_active_owners(self) -> set[UUID]:
        """Return the organization's owners who may sign in, and let nobody change them meanwhile."""
        statement = (
            select(User.id)
            .where(User.role == MerchantRole.OWNER.value, User.deactivated_at.is_(None))
            .order_by(User.id)
            .with_for_update()
        )
        return set((await self._session.scalars(statement)).all())

    async def newest(self, *, limit: int, before: UUID | None) -> Slice[User]:
        """Return a page, the newest first."""
        statement = select(User).order_by(User.id.desc())
        return await self._slice(statement if before is None else statement.where(User.id < before), limit)


class OperatorRepository(_Rows):
    """The platform's operators; seen under a bypass only."""

    async def add(self, operator: Operator) -> None:
        """Add an operator."""
        self._session.add(operator)
        await self._session.flush()

    async def get(self, operator_id: UUID) -> Operator | None:
        """Return one, or None."""
        return await self._session.scalar(select(Operator).where(Operator.id == operator_id))

    async def lock(self, operator_id: UUID) -> Operator | None:
        """Return one that nobody else changes until this transaction ends."""
        statement = select(Operator).where(Operator.id == operator_id).with_for_update()
        return await self._session.scalar(statement.execution_options(populate_existing=True))


class RefreshTokenRepository(_Rows):
    """Sessions, as chains of tokens used once each."""

    async def add(self, token: RefreshToken) -> None:
        """Add a token."""
        self._session.add(token)
        await self._session.flush()

    async def lock(self, token_hash: bytes) -> RefreshToken | None:
        """Return the token with this digest; of two that present it at once, the second waits for the first."""
        statement = select(RefreshToken).where(RefreshToken.token_hash == token_hash).with_for_update()
        return await self._session.scalar(statement)

    async def revoke_family(self, family_id: UUID, now: datetime) -> int:
        """End one session. Returns how many tokens of it were still unrevoked."""
        return await self._revoke(RefreshToken.family_id == family_id, now)

    async def revoke_holder(self, holder_id: UUID, now: datetime) -> int:
        """End all sessions of a user or an operator."""
        return await self._revoke((RefreshToken.user_id == holder_id) | (RefreshToken.operator_id == holder_id), now)

    async def _revoke(self, whose: Any, now: datetime) -> int:
        return await self._count(
            update(RefreshToken)
            .where(whose, RefreshToken.revoked_at.is_(None))
            .values(revoked_at=now)
            .execution_options(synchronize_session=False)
        )

    async def remove_expired(self, before: datetime, limit: int) -> int:
        """Remove at most ``limit`` tokens that expired before a time. Returns how many went."""
        old = select(RefreshToken.id).where(RefreshToken.expires_at < before).limit(limit).scalar_subquery()
        return await self._count(
            delete(RefreshToken).where(RefreshToken.id.in_(old)).execution_options(synchronize_session=False)
        )


class ApiKeyRepository(_Rows):
    """API keys of the unit of work's organization, or of all under a bypass."""

    async def add(self, key: ApiKey) -> None:
        """Add a key."""
        self._session.add(key)
        await self._session.flush()

    async def get(self, key_id: UUID) -> ApiKey | None:
        """Return one, or None."""
        return await self._session.scalar(select(ApiKey).where(ApiKey.id == key_id))

    async def newest(self, *, limit: int, before: UUID | None) -> Slice[ApiKey]:
        """Return a page, the newest first."""
        statement = select(ApiKey).order_by(ApiKey.id.desc())
        return await self._slice(statement if before is None else statement.where(ApiKey.id < before), limit)
