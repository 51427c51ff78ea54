"""Onboarding a merchant."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from rappit_common.clock import new_id
from rappit_common.web.auth import Principal

from rappit_identity.domain.accounts import MerchantRole, OrganizationNotFoundError, SlugTakenError, checked_slug
from rappit_identity.models import Organization, User
from rappit_identity.service.users import NewUser, add_user_to
from rappit_identity.unit import IdentityUnit


@dataclass(frozen=True, slots=True)
class NewOrganization:
    """What an operator says of a merchant."""

    name: str
    slug: str
    owner: NewUser


async def create_organization(
    unit: IdentityUnit, command: NewOrganization, *, by: Principal, now: datetime
) -> tuple[Organization, User]:
    """Make an organization with its first owner.

    Raises:
        InvalidSlugError: The slug cannot stand in an address.
        SlugTakenError: Another organization has it.
        EmailTakenError: The owner's address signs in to another account.
    """
    organization = Organization(id=new_id(), name=command.name.strip(), slug=checked_slug(command.slug), created_at=now)
    if not await unit.organizations.add(organization):
        raise SlugTakenError(f"The slug {command.slug} is taken: choose another.", field="slug", slug=command.slug)
    owner = await add_user_to(unit, organization.id, command.owner, MerchantRole.OWNER, now=now)
    await unit.audit(
        by.label,
        "organization.create",
        "requested by an operator",
        organization_id=organization.id,
        slug=organization.slug,
        owner=owner.email,
    )
    return organization, owner


async def get_organization(unit: IdentityUnit, organization_id: UUID) -> Organization:
    """Return an organization that the unit of work may see.

    Raises:
        OrganizationNotFoundError: There is none for this caller.
    """
    organization = await unit.organizations.get(organization_id)
    if organization is None:
        raise OrganizationNotFoundError("There is no such organization.", organization_id=str(organization_id))
    return organization
