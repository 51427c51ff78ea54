"""The pure ASGI middleware around every request: trace, one log line, a bound on the body.

Pure ASGI, since a ``BaseHTTPMiddleware`` costs three quarters of the throughput (docs/performance.md).
"""

import time

import structlog
from fastapi.responses import JSONResponse
from opentelemetry.trace import SpanKind
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rappit_common.logs import get_logger
from rappit_common.tracing import TRACEPARENT, continued_span, current_trace_id
from rappit_common.web.problems import PROBLEM_JSON, problem_body

CLIENT_ERROR = 400
SERVER_ERROR = 500

_log = get_logger()


class BodyTooLargeError(Exception):
    """The request's body went past the limit while it was read."""


class RequestContext:
    """Continues the caller's trace, binds the request to the logs, logs its end, and names the trace in the answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"].startswith("/health/"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        carrier = {TRACEPARENT: headers[TRACEPARENT]} if TRACEPARENT in headers else {}
        status = 0
        started = time.perf_counter()

        async def send_with_trace(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                trace_id = current_trace_id()
                if trace_id is not None:
                    MutableHeaders(scope=message)["X-Trace-Id"] = trace_id
            await send(message)

        method, path = scope["method"], scope["path"]
        # What a request binds (its tenant, who asks) stays its own, though requests may share a context.
        structlog.contextvars.clear_contextvars()
        with (
            continued_span(f"{method} request", carrier, SpanKind.SERVER),
            structlog.contextvars.bound_contextvars(method=method, path=path),
        ):
            try:
                await self._app(scope, receive, send_with_trace)
            finally:
                log = _log.info if status < SERVER_ERROR else _log.warning
                log("request_served", status=status, duration_ms=round((time.perf_counter() - started) * 1000, 1))
                structlog.contextvars.clear_contextvars()


class _CountedBody:
    """A request's body, counted while it is read."""

    def __init__(self, receive: Receive, limit_bytes: int) -> None:
        self._receive = receive
        self._limit_bytes = limit_bytes
        self._read_bytes = 0

    @property
    def is_too_large(self) -> bool:
        return self._read_bytes > self._limit_bytes

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._read_bytes += len(message.get("body", b""))
            if self.is_too_large:
                raise BodyTooLargeError
        return message


class BodyLimit:
    """Answers 413 to a body over the limit, whether its length was announced or not.

    Args:
        app: What it protects.
        limit_bytes: For every path but those below.
        larger: Path prefixes with a limit of their own.
    """

    def __init__(self, app: ASGIApp, limit_bytes: int, larger: dict[str, int] | None = None) -> None:
        self._app = app
        self._limit_bytes = limit_bytes
        self._larger = larger or {}

    def _limit_of(self, path: str) -> int:
        return next((limit for prefix, limit in self._larger.items() if path.startswith(prefix)), self._limit_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limit_of(scope["path"])
        announced = Headers(scope=scope).get("content-length", "0")
        if not announced.isdigit() or int(announced) > limit:
            await self._refuse(scope, receive, send, limit)
            return
        body = _CountedBody(receive, limit)
        answered = False

        async def watched_send(message: Message) -> None:
            nonlocal answered
            # Frameworks turn the error above into one of their own (400, 500): the true reason is ours to tell.
            if answered or not body.is_too_large:
                answered = True
                await send(message)

        try:
            await self._app(scope, body, watched_send)
        except Exception:
            if answered or not body.is_too_large:
                raise
        if body.is_too_large and not answered:
            await self._refuse(scope, receive, send, limit)

    @staticmethod
    async def _refuse(scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        detail = f"The body is larger than the {limit} bytes accepted here: send it in smaller parts."
        body = problem_body(413, "body_too_large", detail, {"limit_bytes": limit})
        response = JSONResponse(body, 413, {"Connection": "close"}, PROBLEM_JSON)
        await response(scope, receive, send)
