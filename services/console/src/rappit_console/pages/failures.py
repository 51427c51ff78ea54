"""Failures as people see them: a toast over the page they are on, or a page of their own, never a stack trace."""

from urllib.parse import urlencode

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from rappit_common.logs import get_logger
from rappit_common.tracing import current_trace_id
from starlette.exceptions import HTTPException

from rappit_console.api_client import ApiError, SessionExpiredError
from rappit_console.pages.desk import holder_of, views_of
from rappit_console.return_path import SIGN_IN, safe_return_path
from rappit_console.views import Toast, go_to, is_fragment

NOT_FOUND = 404
HEADINGS = {
    403: "This is not for your role",
    404: "There is nothing here",
    429: "A moment, please",
    503: "Rappit is away for a moment",
    504: "Rappit is away for a moment",
}
BROKEN = "Something failed on our side; nothing was changed. Tell support the trace id."

_log = get_logger()


def sign_in_path(request: Request) -> str:
    """Return the sign-in page that comes back to where the person is."""
    page = request.headers.get("hx-current-url") if is_fragment(request) else None
    if page is None and request.method == "GET":
        page = str(request.url)
    return f"{SIGN_IN}?{urlencode({'next': safe_return_path(page)})}"


def show_failure(request: Request, status: int, detail: str, trace_id: str | None) -> Response:
    """Return the answer that tells of a failure."""
    views = views_of(request)
    if is_fragment(request):
        return views.fragment(request, None, toast=Toast("error", detail, trace_id), status_code=status)
    heading = HEADINGS.get(status, "That did not work")
    return views.page(request, "failure.html", status_code=status, heading=heading, detail=detail, trace_id=trace_id)


async def _on_api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)  # noqa: S101 - registered for this type only
    _log.info("api_refused", code=error.code, status=error.status, detail=error.detail)
    return show_failure(request, error.status, error.detail, error.trace_id)


async def _on_expired(request: Request, _error: Exception) -> Response:
    holder_of(request).put(None)
    return go_to(request, sign_in_path(request))


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this type only
    found = error.errors()[:3]
    detail = "; ".join(f"{'.'.join(str(part) for part in item['loc'][1:])}: {item['msg']}" for item in found)
    return show_failure(request, 422, detail, current_trace_id())


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this type only
    detail = "No page of Rappit has this address." if error.status_code == NOT_FOUND else str(error.detail)
    return show_failure(request, error.status_code, detail, current_trace_id())


async def _on_unexpected(request: Request, error: Exception) -> Response:
    _log.error("page_failed", exc_info=error)
    return show_failure(request, 500, BROKEN, current_trace_id())


def install_failure_pages(app: FastAPI) -> None:
    """Make every failure of ``app`` readable."""
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(SessionExpiredError, _on_expired)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(Exception, _on_unexpected)
