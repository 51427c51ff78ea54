"""``/api-keys``: the programs of the caller's organization."""

from uuid import UUID

from fastapi import APIRouter
from rappit_common.pagination import DEFAULT_PAGE_ROWS, InvalidCursorError, Page, PageCursor, PageLimit
from rappit_common.web.auth import InvalidTokenError, MissingRoleError, Owner
from rappit_common.web.problems import errors

from rappit_identity.domain.secrets import ApiKeyNotFoundError
from rappit_identity.endpoints.dependencies import Now, Unit, before_id, next_cursor
from rappit_identity.schemas import ApiKeyCreate, ApiKeyCreated, ApiKeyRead
from rappit_identity.service import api_keys

router = APIRouter(prefix="/api-keys", tags=["api keys"])

_REFUSED = (InvalidTokenError, MissingRoleError)


@router.post("", status_code=201, responses=errors(*_REFUSED))
async def create_api_key(body: ApiKeyCreate, principal: Owner, unit: Unit, now: Now) -> ApiKeyCreated:
    """Make a key. Keep `api_key` now: it is shown this once."""
    key, secret = await api_keys.create_api_key(unit, body.name, body.role, by=principal, now=now)
    return ApiKeyCreated(**ApiKeyRead.model_validate(key).model_dump(), api_key=str(secret))


@router.get("", responses=errors(*_REFUSED, InvalidCursorError))
async def list_api_keys(
    principal: Owner,  # noqa: ARG001 - asked for its check
    unit: Unit,
    limit: PageLimit = DEFAULT_PAGE_ROWS,
    cursor: PageCursor = None,
) -> Page[ApiKeyRead]:
    """List the organization's keys, the newest first, revoked ones too."""
    found = await unit.api_keys.newest(limit=limit, before=before_id(cursor))
    items = [ApiKeyRead.model_validate(row) for row in found.rows]
    return Page(items=items, next_cursor=next_cursor(items[-1].id if items else None, more=found.more))


@router.delete("/{key_id}", status_code=204, responses=errors(*_REFUSED, ApiKeyNotFoundError))
async def revoke_api_key(key_id: UUID, principal: Owner, unit: Unit, now: Now) -> None:
    """Revoke a key at once; access tokens made with it run out within 15 minutes."""
    await api_keys.revoke_api_key(unit, key_id, by=principal, now=now)
