"""What may be sold, by SKU."""

from fastapi import APIRouter
from rappit_common.web.auth import InvalidTokenError, MissingRoleError
from rappit_common.web.problems import errors

from rappit_inventory.domain.errors import UnknownSkuError
from rappit_inventory.endpoints.dependencies import ReadUnit
from rappit_inventory.schemas.documents import AvailabilityAsked, AvailabilityList, AvailabilityRead
from rappit_inventory.service.availability import look_up

router = APIRouter(tags=["availability"], responses=errors(InvalidTokenError, MissingRoleError))


@router.post("/availability")
async def availability_of_many(body: AvailabilityAsked, unit: ReadUnit) -> AvailabilityList:
    """Tell what may be sold of up to 500 SKUs; it may be two seconds old."""
    found = await look_up(unit, body.skus)
    asked = dict.fromkeys(body.skus)
    return AvailabilityList(
        items=[AvailabilityRead.model_validate(found[code]) for code in asked if code in found],
        unknown_skus=[code for code in asked if code not in found],
    )


@router.get("/availability/{sku:path}", responses=errors(UnknownSkuError))
async def availability_of_one(sku: str, unit: ReadUnit) -> AvailabilityRead:
    """Tell what may be sold of a SKU; it may be two seconds old."""
    code = sku.strip()
    found = (await look_up(unit, [code])).get(code)
    if found is None:
        raise UnknownSkuError(f"Unknown SKU {code}: add it to the catalogue first.", sku=code)
    return AvailabilityRead.model_validate(found)
