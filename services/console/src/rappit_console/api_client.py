"""Calls of the public APIs, over one pooled client, with the caller's trace sent onward."""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import httpx
from pydantic import BaseModel, ValidationError
from rappit_common.logs import get_logger
from rappit_common.tracing import TRACEPARENT, current_trace_id, current_traceparent
from rappit_common.web.problems import PROBLEM_JSON

from rappit_console.session import Session, SessionHolder

UNAUTHENTICATED = 401
CLIENT_ERROR = 400
SERVER_ERROR = 500
CONNECT_TIMEOUT_S = 3.0
POOL_TIMEOUT_S = 5.0
REFRESH_EARLY_S = 20.0
REFRESH_KEPT_S = 20.0
MAX_DETAIL_CHARACTERS = 4_000
AWAY = "Rappit cannot be reached for the moment. Nothing was lost: try again in a few seconds."
ODD = "Rappit gave an answer that this page cannot read. Try again; if it stays, tell support the trace id."
SLOW = (
    "Rappit took too long to answer, so this page cannot tell whether it was done. "
    "Reload to see the present state before you try again."
)

_log = get_logger()
ReaderT = TypeVar("ReaderT", bound=BaseModel)


class ApiError(Exception):
    """A call that did not succeed, in words for the person in front of the page.

    Attributes:
        status: What the console answers with.
        code: Stable, machine-readable.
        detail: The sentence to show, exactly as the API gave it.
        trace_id: For support.
        problem: The API's whole answer, when it gave one.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        trace_id: str | None = None,
        problem: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.trace_id = trace_id or current_trace_id()
        self.problem = problem or {}


class ApiRefusedError(ApiError):
    """The API understood, and said no."""


class ApiAwayError(ApiError):
    """The API did not answer, or not in a way that can be shown; whether it acted may be unknown."""


class SessionExpiredError(Exception):
    """Nobody is signed in, or not any more."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer, whole in memory."""

    status: int
    headers: httpx.Headers
    content: bytes

    def read(self, reader: type[ReaderT]) -> ReaderT:
        """Return the JSON body through a tolerant reader.

        Raises:
            ApiAwayError: It is not what was documented.
        """
        try:
            return reader.model_validate_json(self.content)
        except ValidationError as error:
            _log.warning("api_answer_unreadable", reader=reader.__name__, error=str(error)[:1000])
            raise ApiAwayError(502, "unreadable_answer", ODD) from None


class TokenPair(BaseModel):
    """What identity gives for a password or a refresh token."""

    access_token: str
    refresh_token: str
    expires_in_s: float = 60


class ApiClient:
    """The process's client of the public APIs.

    Args:
        http: Pooled, its base URL is the ingress.
        timeout_s: For one call.
        answer_limit_bytes: Larger answers are refused.
        identity_base_url: Where ``/auth`` is asked for.
    """

    def __init__(
        self, http: httpx.AsyncClient, *, timeout_s: float, answer_limit_bytes: int, identity_base_url: str
    ) -> None:
        self._identity_base_url = identity_base_url
        self._http = http
        self._timeout_s = timeout_s
        self._answer_limit_bytes = answer_limit_bytes
        self._refreshes: dict[str, asyncio.Task[TokenPair]] = {}

    async def call(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        params: Mapping[str, str] | None = None,
        body: object | None = None,
        content: AsyncIterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Answer:
        """Make one call and return its successful answer.

        Args:
            method: HTTP method.
            path: Below the ingress.
            token: Access token.
            params: Query; empty values are left out.
            body: Sent as JSON.
            content: Sent as it is, streamed; give its type in headers.
            headers: Further headers.
            timeout_s: Instead of the usual one.

        Raises:
            ApiRefusedError: Answered with 4xx.
            ApiAwayError: Not answered, or with 5xx, or too large.
        """
        sent = dict(headers or {})
        if token:
            sent["Authorization"] = f"Bearer {token}"
        if (traceparent := current_traceparent()) is not None:
            sent[TRACEPARENT] = traceparent
        limit_s = timeout_s or self._timeout_s
        timeout = httpx.Timeout(limit_s, connect=CONNECT_TIMEOUT_S, pool=POOL_TIMEOUT_S)
        query = {name: value for name, value in (params or {}).items() if value}
        try:
            async with (
                asyncio.timeout(limit_s),
                self._http.stream(
                    method,
                    self._address_of(path),
                    params=query or None,
                    json=body,
                    content=content,
                    headers=sent,
                    timeout=timeout,
                ) as response,
            ):
                answer = Answer(response.status_code, response.headers, await self._content(response))
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            _log.warning("api_away", call=f"{method} {path}", error=repr(error))
            raise ApiAwayError(503, "unavailable", AWAY) from error
        except (httpx.HTTPError, TimeoutError) as error:
            _log.warning("api_interrupted", call=f"{method} {path}", error=repr(error))
            detail = AWAY if method == "GET" else SLOW
            raise ApiAwayError(504, "no_answer", detail) from error
        if answer.status >= CLIENT_ERROR:
            raise _error_of(answer)
        return answer

    def _address_of(self, path: str) -> str:
        return f"{self._identity_base_url}{path}" if path.startswith("/auth/") else path

    async def _content(self, response: httpx.Response) -> bytes:
        read = bytearray()
        async for chunk in response.aiter_bytes():
            read += chunk
            if len(read) > self._answer_limit_bytes:
                raise ApiAwayError(502, "answer_too_large", "The answer is too large to show: narrow the filter.")
        return bytes(read)

    async def refresh(self, refresh_token: str, address: str) -> TokenPair:
        """Exchange a refresh token, once for all requests of this replica that hold it at the same time.

        A browser fires several requests at once, and a refresh token is good only once.

        Args:
            refresh_token: Of the session.
            address: Of the person's browser.

        Raises:
            SessionExpiredError: It is not good any more.
            ApiAwayError: Identity did not answer; the session may still be good.
        """
        key = hashlib.sha256(refresh_token.encode()).hexdigest()
        flight = self._refreshes.get(key)
        if flight is None:
            flight = asyncio.create_task(self._exchange(refresh_token, address))
            self._refreshes[key] = flight
            # Kept a moment: requests sent with the old cookie may still be on their way. So its size is bounded by
            # the refreshes of that moment.
            asyncio.get_running_loop().call_later(REFRESH_KEPT_S, self._refreshes.pop, key, None)
        try:
            return await asyncio.shield(flight)
        except ApiAwayError:
            self._refreshes.pop(key, None)
            raise

    async def _exchange(self, refresh_token: str, address: str) -> TokenPair:
        body = {"refresh_token": refresh_token}
        try:
            answer = await self.call("POST", "/auth/refresh", body=body, headers=on_behalf_of(address))
        except ApiRefusedError as error:
            if error.status == 429:  # noqa: PLR2004 - asked too often is no verdict on the token
                raise ApiAwayError(503, error.code, error.detail, error.trace_id) from None
            raise SessionExpiredError from None
        return answer.read(TokenPair)


class Api:
    """The APIs as one signed-in person.

    Args:
        client: The process's.
        holder: The request's session, replaced when its tokens are.
    """

    def __init__(self, client: ApiClient, holder: SessionHolder) -> None:
        self._client = client
        self._holder = holder

    async def call(self, method: str, path: str, **options: Any) -> Answer:
        """Make one call as :meth:`ApiClient.call` does, with a fresh access token; see there for the options.

        Raises:
            SessionExpiredError: The person has to sign in again.
        """
        session = self._holder.current
        if session is None:
            raise SessionExpiredError
        if session.expires_at_s - time.time() < REFRESH_EARLY_S:
            session = await self._refreshed(session)
        try:
            return await self._client.call(method, path, token=session.access_token, **options)
        except ApiRefusedError as error:
            # A body that was streamed away cannot be sent again.
            if error.status != UNAUTHENTICATED or options.get("content") is not None:
                raise
        session = await self._refreshed(session)
        try:
            return await self._client.call(method, path, token=session.access_token, **options)
        except ApiRefusedError as error:
            if error.status == UNAUTHENTICATED:
                raise SessionExpiredError from None
            raise

    async def get(self, path: str, reader: type[ReaderT], **params: str) -> ReaderT:
        """Read something through a tolerant reader; empty parameters are left out."""
        return (await self.call("GET", path, params=params)).read(reader)

    async def _refreshed(self, session: Session) -> Session:
        held = self._holder.current
        if held is not None and held is not session:
            return held  # another call of this request was faster
        pair = await self._client.refresh(session.refresh_token, self._holder.address)
        renewed = session.model_copy(
            update={
                "access_token": pair.access_token,
                "refresh_token": pair.refresh_token,
                "expires_at_s": time.time() + pair.expires_in_s,
            }
        )
        self._holder.put(renewed)
        return renewed


def on_behalf_of(address: str) -> dict[str, str]:
    """Return the header that tells identity who knocks, for its limits per address.

    An ingress that does not know the console as a proxy of its own puts the console's address there instead.
    """
    return {"X-Forwarded-For": address} if address else {}


def _error_of(answer: Answer) -> ApiError:
    is_refusal = answer.status < SERVER_ERROR
    kind = ApiRefusedError if is_refusal else ApiAwayError
    problem: dict[str, Any] = {}
    if answer.headers.get("content-type", "").startswith((PROBLEM_JSON, "application/json")):
        try:
            parsed: object = json.loads(answer.content)
        except ValueError:
            parsed = None
        problem = cast("dict[str, Any]", parsed) if isinstance(parsed, dict) else {}
    detail = problem.get("detail")
    if not isinstance(detail, str) or not detail:
        _log.warning("api_error_without_detail", status=answer.status, body=repr(answer.content[:500]))
        detail = ODD if is_refusal else AWAY
    trace_id = problem.get("trace_id") or answer.headers.get("x-trace-id")
    code = str(problem.get("code", "error"))
    return kind(answer.status, code, detail[:MAX_DETAIL_CHARACTERS], str(trace_id) if trace_id else None, problem)
