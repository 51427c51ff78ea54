"""Errors on the wire: ``application/problem+json`` (RFC 9457) with a stable ``code``, declared in OpenAPI."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException

from rappit_common.database.engine import is_outage
from rappit_common.errors import RappitError, TooManyRequestsError, UnauthenticatedError, UnavailableError
from rappit_common.logs import get_logger
from rappit_common.tracing import current_trace_id

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_S = 2
MAX_REPORTED_FIELDS = 50
_MAX_CAUSES = 10
# PostgreSQL's query_canceled: the statement's time is over. And its character_not_in_repertoire and
# untranslatable_character.
_GIVEN_UP = "57014"
_UNSTORABLE_TEXT = frozenset({"22021", "22P05"})

_log = get_logger()


class TookTooLongError(UnavailableError):
    """A statement ran for as long as any may (30 s) and was ended."""

    code = "took_too_long"


class Problem(BaseModel):
    """What every error looks like."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    trace_id: str | None = None


def problem_body(status: int, code: str, detail: str, fields: Mapping[str, object] | None = None) -> dict[str, Any]:
    """Return the body of a problem, with the current span's trace id; no fact of the case hides a standard member."""
    return {
        **(fields or {}),
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "trace_id": current_trace_id(),
    }


def problem_of(error: RappitError) -> JSONResponse:
    """Return the response that tells a caller of an anticipated refusal."""
    headers: dict[str, str] = {}
    if isinstance(error, TooManyRequestsError | UnavailableError):
        headers["Retry-After"] = str(error.fields.get("retry_after_s", RETRY_AFTER_S))
    if isinstance(error, UnauthenticatedError):
        headers["WWW-Authenticate"] = "Bearer"
    body = problem_body(error.status, error.code, error.message, error.fields)
    return JSONResponse(_jsonable(body), error.status, headers, PROBLEM_JSON)


def _jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _jsonable(v) for k, v in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_jsonable(v) for v in cast("list[Any]", value)]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def errors(*kinds: type[RappitError]) -> dict[int | str, dict[str, Any]]:
    """Return ``responses=`` for an endpoint: the refusals it declares, by status, with their codes."""
    declared: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        codes = [*declared.get(kind.status, {}).get("codes", []), kind.code]
        declared[kind.status] = {"codes": codes}
    return {
        status: {
            "model": Problem,
            "description": f"{HTTPStatus(int(status)).phrase}: {', '.join(entry['codes'])}",
            "content": {PROBLEM_JSON: {}},
        }
        for status, entry in declared.items()
    }


async def _on_refusal(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RappitError)  # noqa: S101 - registered for this type only
    _log.info("request_refused", code=error.code, status=error.status, detail=error.message)
    return problem_of(error)


async def _on_invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this type only
    problems = [
        {"field": ".".join(str(part) for part in item["loc"][1:]) or str(item["loc"][0]), "message": item["msg"]}
        for item in error.errors()[:MAX_REPORTED_FIELDS]
    ]
    detail = "; ".join(f"{item['field']}: {item['message']}" for item in problems[:3])
    return JSONResponse(problem_body(422, "validation_error", detail, {"errors": problems}), 422, None, PROBLEM_JSON)


async def _on_http_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this type only
    code = HTTPStatus(error.status_code).name.lower()
    body = problem_body(error.status_code, code, str(error.detail))
    return JSONResponse(body, error.status_code, dict(error.headers or {}), PROBLEM_JSON)


async def _on_database(request: Request, error: Exception) -> JSONResponse:
    state = getattr(getattr(error, "orig", None), "sqlstate", None)
    if state in _UNSTORABLE_TEXT:
        _log.info("request_refused", code="unstorable_text", status=422)
        detail = "A text holds a character that cannot be stored (NUL): leave it out."
        return JSONResponse(problem_body(422, "unstorable_text", detail), 422, None, PROBLEM_JSON)
    if state == _GIVEN_UP:
        _log.warning("request_failed", reason="statement_timeout", error=str(error))
        return problem_of(TookTooLongError("This took too long and was given up; nothing was changed. Ask for less."))
    if _is_out_of_range(error):
        _log.info("request_refused", code="value_out_of_range", status=422)
        detail = "A time or a number is further away than can be stored: give one that is nearer."
        return JSONResponse(problem_body(422, "value_out_of_range", detail), 422, None, PROBLEM_JSON)
    if is_outage(error):
        return await _on_unexpected(request, error)
    raise error


def _is_out_of_range(error: Exception) -> bool:
    """Tell whether the driver could not write a value: a time whose UTC has no year, a number of more than 64 bits."""
    seen: BaseException | None = error
    for _ in range(_MAX_CAUSES):
        if seen is None or isinstance(seen, OverflowError):
            break
        seen = seen.__cause__
    return isinstance(seen, OverflowError)


async def _on_unexpected(_request: Request, error: Exception) -> JSONResponse:
    if is_outage(error):
        _log.warning("request_failed", reason="database_away", error=str(error))
        away = UnavailableError("The database is away for the moment; nothing was changed. Try again.")
        return problem_of(away)
    _log.error("request_failed", exc_info=error)
    detail = "Something failed on our side; nothing was changed. Tell support the trace id."
    return JSONResponse(problem_body(500, "internal_error", detail), 500, None, PROBLEM_JSON)


def install_problem_handlers(app: FastAPI) -> None:
    """Make every error of ``app`` a problem."""
    app.add_exception_handler(RappitError, _on_refusal)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(DBAPIError, _on_database)
    app.add_exception_handler(ConnectionError, _on_database)
    app.add_exception_handler(Exception, _on_unexpected)
