"""The people of an organization."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from rappit_common.clock import new_id
from rappit_common.web.auth import Principal

from rappit_identity.domain.accounts import (
    EmailTakenError,
    LastOwnerError,
    MerchantRole,
    UserNotFoundError,
    normal_email,
)
from rappit_identity.models import User
from rappit_identity.unit import IdentityUnit


@dataclass(frozen=True, slots=True)
class NewUser:
    """A user to be; the password is hashed already, and followed the policy before."""

    email: str
    name: str
    password_hash: str


@dataclass(frozen=True, slots=True)
class UserChange:
    """What to change of a user; None leaves it."""

    name: str | None = None
    role: MerchantRole | None = None
    active: bool | None = None


async def add_user_to(
    unit: IdentityUnit, organization_id: UUID, new: NewUser, role: MerchantRole, *, now: datetime
) -> User:
    """Give a person an account in an organization.

    Raises:
        InvalidEmailError: The address is none.
        EmailTakenError: It signs in to another account.
    """
    email = normal_email(new.email)
    user = User(
        id=new_id(),
        organization_id=organization_id,
        email=email,
        name=new.name.strip(),
        role=role.value,
        password_hash=new.password_hash,
        created_at=now,
    )
    await unit.users.add(user)
    if not await unit.logins.claim_for_user(email, organization_id, user.id):
        raise EmailTakenError(
            f"{email} signs in to another account: each account needs an e-mail address of its own.",
            field="email",
            email=email,
        )
    return user


async def add_user(unit: IdentityUnit, new: NewUser, role: MerchantRole, *, by: Principal, now: datetime) -> User:
    """Let an owner give a person an account in the owner's organization.

    Raises:
        InvalidEmailError: The address is none.
        EmailTakenError: It signs in to another account.
    """
    user = await add_user_to(unit, unit.organization_id, new, role, now=now)
    await _audit(unit, by, "user.create", user, role=role.value)
    return user


async def get_user(unit: IdentityUnit, user_id: UUID) -> User:
    """Return a user of the organization.

    Raises:
        UserNotFoundError: The organization has none such.
    """
    user = await unit.users.get(user_id)
    if user is None:
        raise UserNotFoundError("There is no such user.", user_id=str(user_id))
    return user


async def change_user(unit: IdentityUnit, user_id: UUID, change: UserChange, *, by: Principal, now: datetime) -> User:
    """Change a user's name or role, or close or reopen the account.

    A closed account's sessions end: its refresh tokens stop working, and an access token in use runs out within its 15
    minutes.

    Raises:
        UserNotFoundError: The organization has none such.
        LastOwnerError: The organization would be left without an owner who can sign in.
    """
    # All owners are locked first and in one order: of two owners who step down at once, one must stay.
    owners = await unit.users.lock_active_owners()
    user = await unit.users.lock(user_id)
    if user is None:
        raise UserNotFoundError("There is no such user.", user_id=str(user_id))
    steps_down = change.active is False or change.role not in {None, MerchantRole.OWNER}
    if steps_down and owners == {user.id}:
        raise LastOwnerError(
            f"{user.email} is the organization's last active owner: make somebody else owner first.",
            user_id=str(user.id),
        )
    if change.name is not None:
        user.name = change.name.strip()
    if change.role is not None:
        user.role = change.role.value
    if change.active is True:
        user.deactivated_at = None
    elif change.active is False and user.active:
        user.deactivated_at = now
        await unit.refresh_tokens.revoke_holder(user.id, now)
    await unit.session.flush()
    await _audit(unit, by, "user.change", user, role=user.role, active=user.active)
    return user


async def _audit(unit: IdentityUnit, by: Principal, action: str, user: User, **detail: object) -> None:
    await unit.audit(
        by.label,
        action,
        "requested",
        organization_id=user.organization_id,
        user_id=str(user.id),
        email=user.email,
        **detail,
    )
