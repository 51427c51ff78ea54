"""The keys that programs sign in with."""

from datetime import datetime
from uuid import UUID

from rappit_common.clock import new_id
from rappit_common.web.auth import Principal, Role

from rappit_identity.domain.accounts import MerchantRole
from rappit_identity.domain.secrets import ApiKeyNotFoundError, ApiKeySecret, InvalidApiKeyError, digest, new_secret
from rappit_identity.models import ApiKey
from rappit_identity.unit import IdentityUnit


async def create_api_key(
    unit: IdentityUnit, name: str, role: MerchantRole, *, by: Principal, now: datetime
) -> tuple[ApiKey, ApiKeySecret]:
    """Make a key. Its secret is returned this once and stored nowhere."""
    secret = ApiKeySecret(new_id(), new_secret())
    key = ApiKey(
        id=secret.id,
        organization_id=unit.organization_id,
        name=name.strip(),
        role=role.value,
        secret_hash=digest(secret.secret),
        created_by=by.label,
        created_at=now,
    )
    await unit.api_keys.add(key)
    await _audit(unit, by, "api_key.create", key)
    return key, secret


async def revoke_api_key(unit: IdentityUnit, key_id: UUID, *, by: Principal, now: datetime) -> None:
    """Make a key useless; revoking it again changes nothing.

    Raises:
        ApiKeyNotFoundError: The organization has none such.
    """
    key = await unit.api_keys.get(key_id)
    if key is None:
        raise ApiKeyNotFoundError("There is no such API key.", api_key_id=str(key_id))
    if key.revoked_at is None:
        key.revoked_at = now
        await unit.session.flush()
        await _audit(unit, by, "api_key.revoke", key)


async def sign_in_with_key(unit: IdentityUnit, presented: str, *, now: datetime) -> Principal:
    """Return whom a key proves, and note that it was used.

    Args:
        unit: Under a bypass, since the key itself names the organization.
        presented: ``rk_<id>_<secret>``.
        now: Noted as the key's last use.

    Raises:
        InvalidApiKeyError: Unknown, malformed or revoked.
    """
    secret = ApiKeySecret.parse(presented)
    key = await unit.api_keys.get(secret.id)
    if key is None or not secret.matches(key.secret_hash) or key.revoked_at is not None:
        raise InvalidApiKeyError("The API key is not valid: it is unknown or was revoked.")
    key.last_used_at = now
    return Principal(key.id, key.organization_id, Role(key.role), key.name)


async def _audit(unit: IdentityUnit, by: Principal, action: str, key: ApiKey) -> None:
    await unit.audit(
        by.label,
        action,
        "requested",
        organization_id=key.organization_id,
        api_key_id=str(key.id),
        name=key.name,
        role=key.role,
    )
