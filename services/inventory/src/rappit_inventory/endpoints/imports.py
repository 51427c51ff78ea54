"""The bulk imports: of stock and of the catalogue."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Depends, Header, Query, Request, Response, status
from rappit_common.idempotency import KEY_PATTERN, MAX_KEY_CHARACTERS
from rappit_common.web.auth import InvalidTokenError, MissingRoleError, Principal, Staff, tenant_of
from rappit_common.web.problems import errors

from rappit_inventory.domain.catalogue_file import COLUMNS as CATALOGUE_COLUMNS
from rappit_inventory.domain.imports import ImportKeyReusedError, ImportKind, ImportMode, ImportOptions
from rappit_inventory.domain.table_file import MissingColumnError, UnreadableFileError
from rappit_inventory.endpoints.dependencies import Now, units_of
from rappit_inventory.endpoints.import_views import import_read, job_read
from rappit_inventory.endpoints.uploads import (
    FileTooLargeError,
    MissingFileError,
    UnreadableFormError,
    UnsupportedMediaTypeError,
    UploadCutOffError,
    received_upload,
)
from rappit_inventory.schemas import ImportJobRead, ImportRead
from rappit_inventory.service.take_import import take_import

router = APIRouter(tags=["import"], responses=errors(InvalidTokenError, MissingRoleError))

_JOB: dict[int | str, dict[str, Any]] = {
    202: {"model": ImportJobRead, "description": "Kept for a worker; `Location` says where to watch it."}
}
_PROBLEMS = errors(
    UnreadableFileError,
    MissingColumnError,
    MissingFileError,
    UnreadableFormError,
    UnsupportedMediaTypeError,
    FileTooLargeError,
    UploadCutOffError,
    ImportKeyReusedError,
)


@dataclass(frozen=True, slots=True)
class Terms:
    """What is asked of every import alike."""

    principal: Principal
    reject_all: bool
    dry_run: bool
    as_job: bool | None
    key: str | None


def asked_terms(
    principal: Staff,
    on_error: Annotated[
        Literal["apply_valid", "reject_all"],
        Query(description="What one bad row does: leaves the others be, or keeps them all from being applied."),
    ] = "apply_valid",
    *,
    dry_run: Annotated[bool, Query(description="Say what would happen, and change nothing.")] = False,
    as_job: Annotated[
        bool | None,
        Query(
            alias="async",
            description="Have a worker apply the file (202), or apply it now (200); by its size when not given.",
        ),
    ] = None,
    # Of imports' own (ADR 0014): the answer is the import itself as it stands, not what was said when it came.
    key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            max_length=MAX_KEY_CHARACTERS,
            pattern=KEY_PATTERN,
            description="Of your choice, one for each import: sent again with the same file and options, it is "
            "answered as before and changes nothing.",
        ),
    ] = None,
) -> Terms:
    """Return the terms of a request."""
    return Terms(principal, on_error == "reject_all", dry_run, as_job, key)


AskedTerms = Annotated[Terms, Depends(asked_terms)]


def _body(example: str, row: dict[str, str]) -> dict[str, Any]:
    properties = {name: {"type": kind} for name, kind in row.items()}
    items = {"type": "array", "items": {"type": "object", "properties": properties}}
    content = {
        "text/csv": {"schema": {"type": "string", "example": example}},
        "multipart/form-data": {
            "schema": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}
        },
        "application/json": {
            "schema": {"type": "object", "required": ["items"], "properties": {"items": items}},
        },
    }
    return {"requestBody": {"required": True, "content": content}}


@router.post(
    "/bulk",
    response_model=ImportRead,
    responses={**_PROBLEMS, **_JOB},
    openapi_extra=_body(
        "sku,quantity,warehouse_code\nTEE-M,12,BER\n",
        {"sku": "string", "quantity": "integer", "warehouse_code": "string"},
    ),
)
async def bulk_import(
    request: Request,
    terms: AskedTerms,
    now: Now,
    mode: Annotated[
        Literal["set", "add"],
        Query(description="`set`: on hand becomes the quantity. `add`: it grows by it."),
    ] = "set",
    *,
    create_missing_skus: Annotated[bool, Query(description="Add SKUs that are not known.")] = False,
) -> ImportRead | Response:
    """Set or raise levels from a CSV or JSON: on hand of a SKU in a warehouse."""
    options = ImportOptions(
        ImportKind.STOCK,
        ImportMode(mode),
        reject_all=terms.reject_all,
        dry_run=terms.dry_run,
        create_missing_skus=create_missing_skus,
    )
    return await _take(request, terms, options, now)


@router.post(
    "/skus/import",
    response_model=ImportRead,
    responses={**_PROBLEMS, **_JOB},
    openapi_extra=_body(
        "sku,name,barcode\nTEE-M,Tee M,4006381333931\n",
        {"sku": "string", **{column.name: "string" for column in CATALOGUE_COLUMNS}},
    ),
)
async def import_skus(
    request: Request,
    terms: AskedTerms,
    now: Now,
    mode: Annotated[
        Literal["create", "update", "upsert"],
        Query(description="`create`: add new SKUs, refuse known ones. `update`: the reverse. `upsert`: both."),
    ] = "upsert",
) -> ImportRead | Response:
    """Add and change SKUs from a CSV or JSON. Columns that are not in the file stay as they are."""
    options = ImportOptions(ImportKind.CATALOGUE, ImportMode(mode), reject_all=terms.reject_all, dry_run=terms.dry_run)
    return await _take(request, terms, options, now)


async def _take(request: Request, terms: Terms, options: ImportOptions, now: Now) -> ImportRead | Response:
    # The body is received before the transaction begins: a slow sender holds no lock.
    async with received_upload(request, options.kind) as upload:
        as_job = terms.as_job
        if as_job is None:
            as_job = upload.facts.size_bytes > cast("int", request.app.state.import_job_bytes)
        async with units_of(request).begin(tenant_of(terms.principal)) as unit:
            taken = await take_import(
                unit, upload, options, terms.principal.label, as_job=as_job, now=now, idempotency_key=terms.key
            )
    if not taken.row.is_job:
        return import_read(taken)
    return Response(
        job_read(taken.row).model_dump_json(),
        status.HTTP_202_ACCEPTED,
        {"Location": f"/inventory/imports/{taken.row.id}"},
        "application/json",
    )
