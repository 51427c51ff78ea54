"""Our own way to the carriers: pooled, bounded in time and size, and honest about what became of a request."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

import httpx
from rappit_common.logs import get_logger

from rappit_shipping.domain.carrier import NotSent, OutcomeUnknown, Refused

MAX_ANSWER_BYTES = 40 * 1024 * 1024  # thirty labels as PDF in base64 are about 10 MB
MAX_QUOTED_CHARACTERS = 300
MAX_RETRY_AFTER_S = 3_600
MAX_TOKENS = 10_000
TOKEN_MARGIN_S = 60
MIN_TOKEN_LIFETIME_S = 1

_log = get_logger()

_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a carrier is waited for: to connect, between two reads, and in all. Seconds."""

    connect_s: float = 3
    read_s: float = 20
    total_s: float = 40


@dataclass(frozen=True, slots=True)
class Answer:
    """A carrier's answer with a JSON object in it."""

    status: int
    body: dict[str, Any]


class CarrierHttp:
    """Sends requests to one carrier.

    Args:
        name: The carrier's name, for messages.
        base_url: Its server.
        timeouts: Bounds in seconds.
        connections: Pooled connections at most.
    """

    def __init__(self, name: str, base_url: str, timeouts: Timeouts, *, connections: int) -> None:
        self.name = name
        self.base_url = base_url.rstrip("/")
        self._timeouts = timeouts
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(timeouts.read_s, connect=timeouts.connect_s, pool=timeouts.connect_s),
            # A carrier's gateway drops idle connections at its pleasure; a request that runs into that has an unknown
            # outcome, so ours are dropped first.
            limits=httpx.Limits(max_connections=connections, keepalive_expiry=5),
            follow_redirects=False,
            trust_env=False,
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def send(self, method: str, path: str, **request: Any) -> Answer:
        """Send one request, once.

        Returns:
            The answer when it is a JSON object with a status below 500 other than 429.

        Raises:
            NotSent: Refused or timed out while connecting, or turned away with 429.
            OutcomeUnknown: Anything after that which is not a JSON answer of the carrier.
        """
        try:
            async with asyncio.timeout(self._timeouts.total_s):
                status, headers, content = await self._exchange(method, path, request)
        except _UNSENT as error:
            raise NotSent(f"{self.name} cannot be reached ({_reason(error)}); nothing was sent.") from None
        except (httpx.TimeoutException, TimeoutError):
            raise OutcomeUnknown(f"{self.name} did not answer in time.", timed_out=True) from None
        except httpx.HTTPError as error:
            raise OutcomeUnknown(f"The connection to {self.name} broke ({_reason(error)}).") from None
        return self._judged(status, headers, content)

    async def _exchange(self, method: str, path: str, request: dict[str, Any]) -> tuple[int, httpx.Headers, bytes]:
        content = bytearray()
        async with self._client.stream(method, f"{self.base_url}{path}", **request) as response:
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > MAX_ANSWER_BYTES:
                    raise OutcomeUnknown(f"{self.name} answered with more than {MAX_ANSWER_BYTES} bytes.")
            return response.status_code, response.headers, bytes(content)

    def _judged(self, status: int, headers: httpx.Headers, content: bytes) -> Answer:
        try:
            body: object = json.loads(content)
        except ValueError:
            body = None
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            raise NotSent(
                f"{self.name} turned the request away: too many requests.",
                retry_after_s=_retry_after_s(headers.get("retry-after")),
            )
        raw = cast("dict[str, Any]", body) if isinstance(body, dict) else None
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise OutcomeUnknown(f"{self.name} failed with status {status}.", raw=raw)
        if raw is None:
            quoted = content[:MAX_QUOTED_CHARACTERS].decode("utf-8", "replace")
            raise OutcomeUnknown(f"{self.name} answered {status} with something that is not JSON: {quoted!r}")
        if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            raise OutcomeUnknown(f"{self.name} answered with a redirection ({status}), which is not followed.", raw=raw)
        return Answer(status, raw)


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _retry_after_s(header: str | None) -> int | None:
    return min(int(header), MAX_RETRY_AFTER_S) if header is not None and header.isdigit() else None


@dataclass(frozen=True, slots=True)
class _Token:
    value: str
    expires_at_s: float


class TokenCache:
    """OAuth tokens of one carrier by account, kept until shortly before they expire.

    Args:
        http: The carrier.
        path: Of its token endpoint.
        now_s: A monotonic clock, in seconds.
    """

    def __init__(self, http: CarrierHttp, path: str, now_s: Callable[[], float] = time.monotonic) -> None:
        self._http = http
        self._path = path
        self._now_s = now_s
        self._tokens: dict[str, _Token] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def get(self, form: Mapping[str, str]) -> str:
        """Return a token for an account's token request; callers that come at once share one request.

        Raises:
            Refused: The carrier does not accept the credentials.
            NotSent: No token could be had, so the request proper was never sent.
        """
        key = json.dumps(dict(form), sort_keys=True)
        token = self._tokens.get(key)
        if token is not None and token.expires_at_s > self._now_s():
            return token.value
        async with self._locks.setdefault(key, asyncio.Lock()):
            token = self._tokens.get(key)
            if token is None or token.expires_at_s <= self._now_s():
                token = await self._fetch(form)
                while len(self._tokens) >= MAX_TOKENS:
                    oldest = next(iter(self._tokens))
                    del self._tokens[oldest]
                    self._locks.pop(oldest, None)
                self._tokens[key] = token
        return token.value

    def forget(self, form: Mapping[str, str], value: str) -> None:
        """Drop a token that the carrier no longer takes, unless it was renewed already."""
        key = json.dumps(dict(form), sort_keys=True)
        token = self._tokens.get(key)
        if token is not None and token.value == value:
            del self._tokens[key]

    async def _fetch(self, form: Mapping[str, str]) -> _Token:
        try:
            answer = await self._http.send("POST", self._path, data=dict(form), headers={"accept": "application/json"})
        except OutcomeUnknown as error:
            # Whatever became of the token request, the label's was never sent.
            raise NotSent(f"{error.detail} (while signing in; nothing else was sent)") from None
        value, lifetime = answer.body.get("access_token"), answer.body.get("expires_in", 0)
        if answer.status >= HTTPStatus.BAD_REQUEST:
            detail = _oauth_words(answer.body)
            raise Refused(
                f"{self._http.name} does not accept the account's credentials: {detail}", status=answer.status
            )
        if not isinstance(value, str) or not value:
            raise NotSent(f"{self._http.name} answered without a token.")
        lifetime_s = float(lifetime) if isinstance(lifetime, int | float | str) and str(lifetime).isdigit() else 0
        return _Token(value, self._now_s() + max(lifetime_s - TOKEN_MARGIN_S, MIN_TOKEN_LIFETIME_S))


def _oauth_words(body: dict[str, Any]) -> str:
    errors: object = body.get("errors")
    if isinstance(errors, list):
        told = [cast("dict[str, Any]", error).get("message") for error in cast("list[Any]", errors) if error]
        return " ".join(str(message) for message in told if message)
    return str(body.get("error_description") or body.get("detail") or body.get("error") or "no reason given")


class SignedHttp:
    """Requests with a token that is renewed once when the carrier no longer takes it."""

    def __init__(self, http: CarrierHttp, tokens: TokenCache) -> None:
        self._http = http
        self._tokens = tokens

    async def send(self, form: Mapping[str, str], method: str, path: str, **request: Any) -> Answer:
        """Send one request under an account; a 401 means that it was not carried out, so it is sent once more.

        Raises:
            CarrierFailure: See ``CarrierHttp.send`` and ``TokenCache.get``.
        """
        headers: dict[str, str] = request.pop("headers", {})
        answer, token = await self._once(form, method, path, headers, request)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            self._tokens.forget(form, token)
            _log.info("carrier_token_renewed", carrier=self._http.name)
            answer, token = await self._once(form, method, path, headers, request)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            self._tokens.forget(form, token)
        return answer

    async def _once(
        self, form: Mapping[str, str], method: str, path: str, headers: dict[str, str], request: dict[str, Any]
    ) -> tuple[Answer, str]:
        token = await self._tokens.get(form)
        signed = {**headers, "authorization": f"Bearer {token}"}
        return await self._http.send(method, path, headers=signed, **request), token
