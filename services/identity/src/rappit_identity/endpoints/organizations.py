"""``/organizations``: operators onboard merchants; a merchant sees its own."""

from uuid import UUID

from fastapi import APIRouter
from rappit_common.pagination import DEFAULT_PAGE_ROWS, InvalidCursorError, Page, PageCursor, PageLimit
from rappit_common.web.auth import Authenticated, InvalidTokenError, MissingRoleError, Operator, Role
from rappit_common.web.problems import errors

from rappit_identity.domain.accounts import (
    EmailTakenError,
    InvalidEmailError,
    InvalidSlugError,
    OrganizationNotFoundError,
    SlugTakenError,
    normal_email,
)
from rappit_identity.domain.passwords import WeakPasswordError, check_password
from rappit_identity.endpoints.dependencies import Now, Reading, Shared, before_id, next_cursor
from rappit_identity.schemas import OrganizationBody, OrganizationCreated, OrganizationRead, UserRead
from rappit_identity.service import organizations
from rappit_identity.service.organizations import NewOrganization
from rappit_identity.service.users import NewUser

router = APIRouter(prefix="/organizations", tags=["organizations"])


@router.post(
    "",
    status_code=201,
    responses=errors(
        InvalidTokenError,
        MissingRoleError,
        EmailTakenError,
        SlugTakenError,
        InvalidEmailError,
        InvalidSlugError,
        WeakPasswordError,
    ),
)
async def create_organization(
    body: OrganizationBody, shared: Shared, principal: Operator, now: Now
) -> OrganizationCreated:
    """Onboard a merchant with its first owner."""
    email = normal_email(body.owner.email)
    check_password(body.owner.password, email)
    owner = NewUser(email, body.owner.name, await shared.passwords.hash(body.owner.password))
    command = NewOrganization(body.name, body.slug, owner)
    async with shared.units.bypass_tenancy("an operator onboards a merchant", actor=principal.label) as unit:
        organization, user = await organizations.create_organization(unit, command, by=principal, now=now)
    return OrganizationCreated(
        id=organization.id,
        name=organization.name,
        slug=organization.slug,
        created_at=organization.created_at,
        owner=UserRead.model_validate(user),
    )


@router.get("", responses=errors(InvalidTokenError, MissingRoleError, InvalidCursorError))
async def list_organizations(
    unit: Reading, limit: PageLimit = DEFAULT_PAGE_ROWS, cursor: PageCursor = None
) -> Page[OrganizationRead]:
    """List merchants, the newest first."""
    found = await unit.organizations.newest(limit=limit, before=before_id(cursor))
    items = [OrganizationRead.model_validate(row) for row in found.rows]
    return Page(items=items, next_cursor=next_cursor(items[-1].id if items else None, more=found.more))


@router.get("/{organization_id}", responses=errors(InvalidTokenError, OrganizationNotFoundError))
async def get_organization(organization_id: UUID, shared: Shared, principal: Authenticated) -> OrganizationRead:
    """Show a merchant: any to an operator, its own to one of its users."""
    opened = (
        shared.units.bypass_tenancy(f"operator {principal.label} reads an organization")
        if principal.organization_id is None and principal.may(Role.OPERATOR_VIEWER)
        else shared.units.begin(_own(principal.organization_id, organization_id))
    )
    async with opened as unit:
        return OrganizationRead.model_validate(await organizations.get_organization(unit, organization_id))


def _own(own: UUID | None, asked: UUID) -> UUID:
    if own is None:
        raise OrganizationNotFoundError("There is no such organization.", organization_id=str(asked))
    return own
