"""``POST /webhooks/{channel_id}``: the hot path, pure ASGI in front of the app.

No framework is on it, since each layer of one costs more than all that is done here (docs/performance.md), and no
query: channels are known from memory.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from rappit_common.errors import (
    ForbiddenError,
    NotFoundError,
    RappitError,
    TooManyRequestsError,
    UnauthenticatedError,
    UnavailableError,
)
from rappit_common.limits import Decision, source_of
from rappit_common.logs import get_logger
from rappit_common.web.problems import PROBLEM_JSON, RETRY_AFTER_S, problem_body
from starlette.types import ASGIApp, Receive, Scope, Send

from rappit_gateway.domain.channels import KnownChannel
from rappit_gateway.domain.signatures import Delivery, Headers, is_activation_ping, text, verify
from rappit_gateway.endpoints.lines import LineBudget
from rappit_gateway.endpoints.trace import Trace, Tracing
from rappit_gateway.service.acceptance import Acceptance, VerifiedWebhook
from rappit_gateway.service.directory import ChannelDirectory, DirectoryAwayError

PREFIX = "/webhooks/"
LINES_PER_S = 50
SERVER_ERROR = 500
_PONG = b'{"status":"ok"}'
_CLOSE = (b"connection", b"close")

_log = get_logger()


class UnknownChannelError(NotFoundError):
    """No channel has this address."""

    code = "unknown_channel"


class GoneChannelError(RappitError):
    """The channel was disconnected by its owner."""

    status: ClassVar[int] = 410
    code = "channel_deactivated"


class WebhookTooLargeError(RappitError):
    """The body is over the limit."""

    status: ClassVar[int] = 413
    code = "body_too_large"


class SlowBodyError(RappitError):
    """The body did not arrive in time."""

    status: ClassVar[int] = 408
    code = "body_too_slow"


class MethodError(RappitError):
    """Webhooks are posted."""

    status: ClassVar[int] = 405
    code = "method_not_allowed"


class BusyError(UnavailableError):
    """Too many bytes are in hand."""

    code = "busy"


class ChannelsAwayError(UnavailableError):
    """The channel is not in memory, and PostgreSQL is away."""

    code = "channels_away"


class ClientGoneError(Exception):
    """The client hung up before its body was whole."""


_BREAKS_CONNECTION = (WebhookTooLargeError, SlowBodyError, BusyError)


@dataclass(frozen=True, slots=True)
class WebhookLimits:
    """What one process takes in.

    Attributes:
        body_bytes: Of one webhook.
        memory_bytes: Of all bodies in hand at once.
        read_timeout_s: For one body to arrive.
        count_unverified: Counts one refused request of a source and decides whether it may go on asking.
        per_minute: What that allows, to be named to the caller.
    """

    body_bytes: int
    memory_bytes: int
    read_timeout_s: float
    count_unverified: Callable[[str], Awaitable[Decision]]
    per_minute: int


class WebhookEndpoint:
    """Answers ``/webhooks/…`` and hands everything else on.

    Args:
        app: Everything else.
        directory: Which channels there are.
        acceptance: Makes webhooks durable.
        tracing: Gives each request its trace.
        limits: What is taken in.
        wall_clock: Seconds of the epoch.
        monotonic: Seconds, for durations.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        directory: ChannelDirectory,
        acceptance: Acceptance,
        tracing: Tracing,
        limits: WebhookLimits,
        wall_clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._app = app
        self._directory = directory
        self._acceptance = acceptance
        self._tracing = tracing
        self._limits = limits
        self._wall_clock = wall_clock
        self._monotonic = monotonic
        self._accepted_lines = LineBudget(LINES_PER_S, monotonic)
        self._refused_lines = LineBudget(LINES_PER_S, monotonic)
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        started = self._monotonic()
        headers: Headers = dict(scope["headers"])
        with self._tracing.follow(headers) as trace:
            try:
                body = await self._serve(scope, headers, receive, trace, started)
            except ClientGoneError:
                return
            except RappitError as refusal:
                await self._refuse(scope, send, refusal, trace)
            except Exception as error:  # noqa: BLE001 - a bug must not end the connection without an answer
                _log.error("webhook_failed", exc_info=error, trace_id=trace.trace_id, path=scope["path"])
                failure = RappitError("Something failed on our side; send the webhook again.")
                await self._refuse(scope, send, failure, trace)
            else:
                await _answer(send, 200, body, b"application/json", trace, [])

    async def _serve(self, scope: Scope, headers: Headers, receive: Receive, trace: Trace, started: float) -> bytes:
        if scope["method"] != "POST":
            raise MethodError("Webhooks are sent by POST.")
        held = [0]
        try:
            channel, delivery, body = await self._verified(scope, headers, receive, held)
            if delivery is None:
                return _PONG
            webhook = VerifiedWebhook(
                channel=channel,
                delivery=delivery,
                body=body,
                content_type=text(headers.get(b"content-type", b"")),
                traceparent=trace.traceparent,
                received_at_s=self._wall_clock(),
            )
            accepted = await self._acceptance.accept(webhook)
        finally:
            self._held_bytes -= held[0]
        left_out = self._accepted_lines.take()
        if left_out is not None:
            _log.info(
                "webhook_accepted",
                trace_id=trace.trace_id,
                organization_id=str(channel.organization_id),
                channel_id=str(channel.channel_id),
                topic=delivery.topic,
                delivery_id=delivery.delivery_id,
                message_id=str(accepted.message_id),
                spooled=accepted.is_spooled,
                body_bytes=len(body),
                duration_ms=round((self._monotonic() - started) * 1000, 1),
                lines_left_out=left_out,
            )
        return b'{"id":"%b"}' % str(accepted.message_id).encode()

    async def _verified(
        self, scope: Scope, headers: Headers, receive: Receive, held: list[int]
    ) -> tuple[KnownChannel, Delivery | None, bytes]:
        """Return whose webhook this is, what it says of itself (None: it is only a ping), and its body."""
        try:
            channel = await self._find_channel(scope["path"])
            body = await self._read_body(headers, receive, held)
            if is_activation_ping(channel, headers, body):
                # Nobody vouches for it, so it counts as unverified traffic; a real shop sends one a webhook it saves.
                await self._count_unverified(scope)
                return channel, None, body
            return channel, await self._verify(channel, headers, body), body
        except (UnknownChannelError, GoneChannelError, UnauthenticatedError, ForbiddenError):
            await self._count_unverified(scope)
            raise

    async def _count_unverified(self, scope: Scope) -> None:
        decision = await self._limits.count_unverified(source_of(scope))
        if not decision.allowed:
            raise TooManyRequestsError(
                f"More than {self._limits.per_minute} webhooks a minute from this address could not be verified.",
                retry_after_s=decision.retry_after_s,
            )

    async def _find_channel(self, path: str) -> KnownChannel:
        try:
            channel_id = UUID(path[len(PREFIX) :].rstrip("/"))
            channel = await self._directory.find(channel_id)
        except ValueError:
            channel = None
        except DirectoryAwayError:
            raise ChannelsAwayError("The channel cannot be looked up for the moment; send the webhook again.") from None
        if channel is None:
            raise UnknownChannelError("No channel has this address: copy its webhook URL again.")
        if not channel.is_active:
            raise GoneChannelError("This channel was disconnected: remove the webhook from the shop.")
        return channel

    async def _verify(self, channel: KnownChannel, headers: Headers, body: bytes) -> Delivery:
        now_s = self._wall_clock()
        try:
            return verify(channel, headers, body, now_s)
        except UnauthenticatedError:
            # Another process may have rotated the secret since ours was read.
            changed = await self._directory.find_again(channel.channel_id, channel)
            if changed is None:
                raise
            return verify(changed, headers, body, now_s)

    async def _read_body(self, headers: Headers, receive: Receive, held: list[int]) -> bytes:
        limit = self._limits.body_bytes
        announced = headers.get(b"content-length", b"0")
        if not announced.isdigit() or int(announced) > limit:
            raise _too_large(limit)
        chunks: list[bytes] = []
        try:
            async with asyncio.timeout(self._limits.read_timeout_s):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGoneError
                    chunk: bytes = message.get("body", b"")
                    held[0] += len(chunk)
                    self._held_bytes += len(chunk)
                    if held[0] > limit:
                        raise _too_large(limit)
                    if self._held_bytes > self._limits.memory_bytes:
                        raise BusyError("Too much is arriving at once; send the webhook again in a moment.")
                    chunks.append(chunk)
                    if not message.get("more_body", False):
                        return chunks[0] if len(chunks) == 1 else b"".join(chunks)
        except TimeoutError:
            raise SlowBodyError(
                f"The body did not arrive within {self._limits.read_timeout_s:g} s; send the webhook again."
            ) from None

    async def _refuse(self, scope: Scope, send: Send, refusal: RappitError, trace: Trace) -> None:
        left_out = self._refused_lines.take()
        if left_out is not None:
            log = _log.warning if refusal.status >= SERVER_ERROR else _log.info
            log(
                "webhook_refused",
                trace_id=trace.trace_id,
                status=refusal.status,
                code=refusal.code,
                path=scope["path"],
                client=source_of(scope),
                lines_left_out=left_out,
            )
        headers: list[tuple[bytes, bytes]] = []
        if isinstance(refusal, TooManyRequestsError | UnavailableError):
            headers.append((b"retry-after", str(refusal.fields.get("retry_after_s", RETRY_AFTER_S)).encode()))
        if isinstance(refusal, UnauthenticatedError):
            headers.append((b"www-authenticate", b"Signature"))
        if isinstance(refusal, MethodError):
            headers.append((b"allow", b"POST"))
        if isinstance(refusal, _BREAKS_CONNECTION):
            # What is left of the body is not read.
            headers.append(_CLOSE)
        problem = problem_body(refusal.status, refusal.code, refusal.message, refusal.fields)
        problem["trace_id"] = trace.trace_id
        await _answer(send, refusal.status, json.dumps(problem).encode(), PROBLEM_JSON.encode(), trace, headers)


def _too_large(limit: int) -> WebhookTooLargeError:
    return WebhookTooLargeError(f"The body is larger than the {limit} bytes accepted here.", limit_bytes=limit)


async def _answer(
    send: Send, status: int, body: bytes, content_type: bytes, trace: Trace, headers: list[tuple[bytes, bytes]]
) -> None:
    headers += (
        (b"content-type", content_type),
        (b"content-length", str(len(body)).encode()),
        (b"x-trace-id", trace.trace_id.encode()),
    )
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
