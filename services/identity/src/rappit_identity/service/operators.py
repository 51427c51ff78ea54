"""The people who run the platform."""

from datetime import datetime
from uuid import UUID

from rappit_common.clock import new_id
from rappit_common.web.auth import Role

from rappit_identity.domain.accounts import EmailTakenError, OperatorNotFoundError, normal_email
from rappit_identity.models import Operator
from rappit_identity.unit import IdentityUnit

ACTOR = "create-operator"


async def create_operator(unit: IdentityUnit, email: str, password_hash: str, *, now: datetime) -> Operator:
    """Make a platform operator.

    Raises:
        InvalidEmailError: The address is none.
        EmailTakenError: It signs in to another account.
    """
    operator = Operator(
        id=new_id(),
        email=normal_email(email),
        role=Role.OPERATOR.value,
        password_hash=password_hash,
        created_at=now,
    )
    await unit.operators.add(operator)
    if not await unit.logins.claim_for_operator(operator.email, operator.id):
        raise EmailTakenError(f"{operator.email} signs in to a user of an organization: give another.", field="email")
    await unit.audit(ACTOR, "operator.create", "requested on the command line", email=operator.email)
    return operator


async def find_operator(unit: IdentityUnit, email: str) -> Operator | None:
    """Return the operator who signs in with an address, or None.

    Raises:
        InvalidEmailError: The address is none.
        EmailTakenError: It signs in to a user of an organization.
    """
    login = await unit.logins.find(normal_email(email))
    if login is None:
        return None
    operator = await unit.operators.get(login.operator_id) if login.operator_id else None
    if operator is None:
        raise EmailTakenError(f"{login.email} signs in to a user of an organization: give another.", field="email")
    return operator


async def reset_operator(unit: IdentityUnit, operator_id: UUID, password_hash: str, *, now: datetime) -> None:
    """Give an operator a new password, open the account again, and end its sessions.

    Raises:
        OperatorNotFoundError: The operator was removed in that moment.
    """
    operator = await unit.operators.lock(operator_id)
    if operator is None:
        raise OperatorNotFoundError("The operator was removed meanwhile: run the command again.")
    operator.password_hash = password_hash
    operator.deactivated_at = None
    await unit.refresh_tokens.revoke_holder(operator.id, now)
    await unit.audit(ACTOR, "operator.reset", "requested on the command line", email=operator.email)
