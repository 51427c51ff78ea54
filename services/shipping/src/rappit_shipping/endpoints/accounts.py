"""Carrier accounts and carriers."""

from fastapi import APIRouter
from rappit_common.pagination import (
    DEFAULT_PAGE_ROWS,
    InvalidCursorError,
    Page,
    PageCursor,
    PageLimit,
    decode_id_cursor,
    encode_cursor,
)
from rappit_common.web.auth import InvalidTokenError, MissingRoleError, Owner, Viewer
from rappit_common.web.problems import errors

from rappit_shipping.domain.carrier import InvalidCredentialsError
from rappit_shipping.domain.shipments import AccountExistsError, UnknownCarrierError
from rappit_shipping.endpoints.dependencies import Now, TheDesk, Unit
from rappit_shipping.schemas import CarrierAccountCreate, CarrierAccountRead, CarrierRead
from rappit_shipping.service import accounts

router = APIRouter(prefix="/shipping", tags=["carriers"], responses=errors(InvalidTokenError, MissingRoleError))


@router.post(
    "/carrier-accounts",
    status_code=201,
    responses=errors(InvalidCredentialsError, UnknownCarrierError, AccountExistsError),
)
async def open_carrier_account(
    body: CarrierAccountCreate, owner: Owner, unit: Unit, desk: TheDesk, now: Now
) -> CarrierAccountRead:
    """Connect an account at a carrier."""
    command = body.to_command(owner.label)
    account = await accounts.open_account(unit, command, desk.carrier(command.carrier), desk.box, now=now)
    return CarrierAccountRead.of(account)


@router.get("/carrier-accounts", responses=errors(InvalidCursorError))
async def list_carrier_accounts(
    unit: Unit, limit: PageLimit = DEFAULT_PAGE_ROWS, cursor: PageCursor = None
) -> Page[CarrierAccountRead]:
    """List the carrier accounts, newest first; credentials are never told."""
    after = decode_id_cursor(cursor) if cursor else None
    found = await unit.accounts.page(limit + 1, after)
    more = encode_cursor(str(found[limit - 1].id)) if len(found) > limit else None
    return Page(items=[CarrierAccountRead.of(account) for account in found[:limit]], next_cursor=more)


@router.get("/carriers")
async def list_carriers(_viewer: Viewer, desk: TheDesk) -> list[CarrierRead]:
    """Tell how each carrier fares: its breaker, and what it can do."""
    return [
        CarrierRead.of(code, carrier.name, await carrier.view(), can_void=carrier.can_void, can_find=carrier.can_find)
        for code, carrier in desk.carriers.items()
    ]
