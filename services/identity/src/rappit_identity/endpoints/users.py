"""``/users``: the people of the caller's organization."""

from uuid import UUID

from fastapi import APIRouter
from rappit_common.pagination import DEFAULT_PAGE_ROWS, InvalidCursorError, Page, PageCursor, PageLimit
from rappit_common.web.auth import InvalidTokenError, MissingRoleError, Owner, tenant_of
from rappit_common.web.problems import errors

from rappit_identity.domain.accounts import (
    EmailTakenError,
    InvalidEmailError,
    LastOwnerError,
    UserNotFoundError,
    normal_email,
)
from rappit_identity.domain.passwords import WeakPasswordError, check_password
from rappit_identity.endpoints.dependencies import Now, Shared, Unit, before_id, next_cursor
from rappit_identity.schemas import UserBody, UserPatch, UserRead
from rappit_identity.service import users
from rappit_identity.service.users import NewUser, UserChange

router = APIRouter(prefix="/users", tags=["users"])

_REFUSED = (InvalidTokenError, MissingRoleError)


@router.post("", status_code=201, responses=errors(*_REFUSED, EmailTakenError, InvalidEmailError, WeakPasswordError))
async def create_user(body: UserBody, shared: Shared, principal: Owner, now: Now) -> UserRead:
    """Give a person an account in the caller's organization."""
    email = normal_email(body.email)
    check_password(body.password, email)
    # Hashed before the transaction opens, so that no connection waits for it.
    new = NewUser(email, body.name, await shared.passwords.hash(body.password))
    async with shared.units.begin(tenant_of(principal)) as unit:
        return UserRead.model_validate(await users.add_user(unit, new, body.role, by=principal, now=now))


@router.get("", responses=errors(*_REFUSED, InvalidCursorError))
async def list_users(unit: Unit, limit: PageLimit = DEFAULT_PAGE_ROWS, cursor: PageCursor = None) -> Page[UserRead]:
    """List the organization's users, the newest first, closed accounts too."""
    found = await unit.users.newest(limit=limit, before=before_id(cursor))
    items = [UserRead.model_validate(row) for row in found.rows]
    return Page(items=items, next_cursor=next_cursor(items[-1].id if items else None, more=found.more))


@router.get("/{user_id}", responses=errors(*_REFUSED, UserNotFoundError))
async def get_user(user_id: UUID, unit: Unit) -> UserRead:
    """Show one user."""
    return UserRead.model_validate(await users.get_user(unit, user_id))


@router.patch("/{user_id}", responses=errors(*_REFUSED, UserNotFoundError, LastOwnerError))
async def change_user(user_id: UUID, body: UserPatch, principal: Owner, unit: Unit, now: Now) -> UserRead:
    """Change a user's name or role, or close (`active: false`) or reopen the account."""
    change = UserChange(name=body.name, role=body.role, active=body.active)
    return UserRead.model_validate(await users.change_user(unit, user_id, change, by=principal, now=now))
