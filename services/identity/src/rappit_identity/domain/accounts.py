"""Who may hold an account, and under which name."""

import re
from enum import StrEnum

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
from rappit_common.errors import ConflictError, InvalidError, NotFoundError, UnauthenticatedError

MAX_EMAIL_CHARACTERS = 254
MIN_SLUG_CHARACTERS = 3
MAX_SLUG_CHARACTERS = 63

# Addresses of private networks are fine: Rappit may run inside one, and sends no mail. Changing this list is how the
# library lets a program say so.
for _private in ("local", "test"):
    SPECIAL_USE_DOMAIN_NAMES.remove(_private)

_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


class MerchantRole(StrEnum):
    """What a user or an API key may do in its organization."""

    OWNER = "owner"
    STAFF = "staff"
    VIEWER = "viewer"


class InvalidEmailError(InvalidError):
    """The text is not an e-mail address."""

    code = "invalid_email"


class InvalidSlugError(InvalidError):
    """The text cannot stand in an address."""

    code = "invalid_slug"


class EmailTakenError(ConflictError):
    """An e-mail address signs in to one account only, since it is what tells the organization."""

    code = "email_taken"


class SlugTakenError(ConflictError):
    """Another organization has the slug."""

    code = "slug_taken"


class LastOwnerError(ConflictError):
    """Nobody would be left who can manage the organization's users."""

    code = "last_owner"


class OrganizationNotFoundError(NotFoundError):
    """No such organization, or not the caller's."""

    code = "organization_not_found"


class UserNotFoundError(NotFoundError):
    """No such user in this organization."""

    code = "user_not_found"


class OperatorNotFoundError(NotFoundError):
    """No such operator."""

    code = "operator_not_found"


class AccountClosedError(UnauthenticatedError):
    """The token is still good, but its account was deactivated, removed or revoked since."""

    code = "account_closed"


def login_key(email: str) -> str:
    """Return the form under which an address is looked up: no outer spaces, no capitals."""
    return email.strip().lower()


def normal_email(email: str) -> str:
    """Return ``email`` in the one form that is stored.

    Raises:
        InvalidEmailError: It is not an e-mail address.
    """
    try:
        address = validate_email(email.strip(), check_deliverability=False)
    except EmailNotValidError as error:
        raise InvalidEmailError(f"The e-mail address is not valid: {error}", field="email") from None
    return login_key(address.normalized)


def checked_slug(slug: str) -> str:
    """Return ``slug`` when it can stand in an address.

    Raises:
        InvalidSlugError: Not 3 to 63 lower-case letters, digits and single hyphens.
    """
    if not (MIN_SLUG_CHARACTERS <= len(slug) <= MAX_SLUG_CHARACTERS and _SLUG.fullmatch(slug)):
        raise InvalidSlugError(
            f"The slug must be {MIN_SLUG_CHARACTERS} to {MAX_SLUG_CHARACTERS} lower-case letters, digits and hyphens, "
            "with a letter or digit at both ends and no two hyphens together: for example acme-outdoor.",
            field="slug",
        )
    return slug
