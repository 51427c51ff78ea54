"""``POST /webhooks/{channel_id}``: the hot path, pure ASGI in front of the app.

No framework is on it, since each layer of one costs more than all that is done here (docs/performance.md), and no
query: channels are known from memory.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
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
from rappit_common.limits import source_of
from rappit_common.logs import get_logger
from rappit_common.web.problems import PROBLEM_JSON, RETRY_AFTER_S, problem_body
from starlette.types import ASGIApp, Receive, Scope, Send

from rappit_gateway.domain.channels import KnownChannel
from rappit_gateway.domain.signatures import (
    Delivery,
    Headers,
    is_activation_ping,
    may_be_activation_ping,
    require_signed,
    text,
    verify,
)
from rappit_gateway.endpoints.admission import Admission, Quotas
from rappit_gateway.endpoints.lines import LineBudget
from rappit_gateway.endpoints.outcomes import ACCEPTED, CLIENT_GONE, PING, SPOOLED, Outcomes
from rappit_gateway.endpoints.trace import Trace, Tracing
from rappit_gateway.service.acceptance import Acceptance, VerifiedWebhook
from rappit_gateway.service.deadline import Deadline
from rappit_gateway.service.delivery_log import DeliveryLog
from rappit_gateway.service.directory import ChannelDirectory, DirectoryAwayError

PREFIX = "/webhooks/"
LINES_PER_S = 50
SERVER_ERROR = 500
# What is left unread of a body up to this size is read and forgotten; a larger one is worth a new connection.
MAX_FORGOTTEN_BYTES = 64 * 1024
MAX_LENGTH_DIGITS = 15
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


@dataclass(frozen=True, slots=True)
class WebhookLimits:
    """What one process takes in.

    Attributes:
        body_bytes: Of one webhook.
        memory_bytes: Of all bodies in hand at once.
        read_timeout_s: For one body to arrive.
        answer_timeout_s: For everything else that is done before the answer.
        quotas: Of sources and channels.
    """

    body_bytes: int
    memory_bytes: int
    read_timeout_s: float
    answer_timeout_s: float
    quotas: Quotas


@dataclass(slots=True)
class _Intake:
    """One request on its way in.

    Attributes:
        source: Whom it counts for.
        headers: By lower-case name; of several with one name, the last.
        deadline: By when it must be answered.
        held_bytes: Of its body, in hand.
        is_read: Whether its body is whole.
        channel: Whose address it came to, once that is known.
    """

    source: str
    headers: Headers
    deadline: Deadline
    held_bytes: int = field(default=0)
    is_read: bool = field(default=False)
    channel: KnownChannel | None = field(default=None)

    def announced_bytes(self) -> int | None:
        """Return the length that its headers tell; None when they tell none."""
        announced = self.headers.get(b"content-length")
        if announced is None:
            return None if b"transfer-encoding" in self.headers else 0
        # What is no length is as good as too long.
        is_length = announced.isdigit() and len(announced) <= MAX_LENGTH_DIGITS
        return int(announced) if is_length else 10**MAX_LENGTH_DIGITS

    def leaves_much_unread(self) -> bool:
        """Tell whether so much of its body was not read that the connection is better ended."""
        announced = self.announced_bytes()
        return not self.is_read and (announced is None or announced - self.held_bytes > MAX_FORGOTTEN_BYTES)


class WebhookEndpoint:
    """Answers ``/webhooks/…`` and hands everything else on.

    Args:
        app: Everything else.
        directory: Which channels there are.
        acceptance: Makes webhooks durable.
        tracing: Gives each request its trace.
        limits: What is taken in.
        outcomes: Counts what becomes of it.
        deliveries: Where the merchant reads what became of it.
        wall_clock: Seconds of the epoch.
        monotonic: Seconds, for durations.
    """

    def __init__(  # noqa: PLR0913 - all that the hot path is put together of, once a process
        self,
        app: ASGIApp,
        *,
        directory: ChannelDirectory,
        acceptance: Acceptance,
        tracing: Tracing,
        limits: WebhookLimits,
        outcomes: Outcomes,
        deliveries: DeliveryLog,
        wall_clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._app = app
        self._directory = directory
        self._acceptance = acceptance
        self._tracing = tracing
        self._limits = limits
        self._admission = Admission(limits.quotas, monotonic)
        self._outcomes = outcomes
        self._deliveries = deliveries
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
        intake = _Intake(source_of(scope), headers, Deadline(self._limits.answer_timeout_s, self._monotonic))
        with self._tracing.follow(headers) as trace:
            try:
                body = await self._serve(scope, intake, receive, trace, started)
            except ClientGoneError:
                self._outcomes.count(CLIENT_GONE)
                return
            except RappitError as refusal:
                await self._refuse(scope, send, refusal, trace, intake)
            except Exception as error:  # noqa: BLE001 - a bug must not end the connection without an answer
                _log.error("webhook_failed", exc_info=error, trace_id=trace.trace_id, path=scope["path"])
                failure = RappitError("Something failed on our side; send the webhook again.")
                await self._refuse(scope, send, failure, trace, intake)
            else:
                await _answer(send, 200, body, b"application/json", trace, [])

    async def _serve(self, scope: Scope, intake: _Intake, receive: Receive, trace: Trace, started: float) -> bytes:
        if scope["method"] != "POST":
            raise MethodError("Webhooks are sent by POST.")
        try:
            channel, delivery, body = await self._verified(scope["path"], intake, receive)
            if delivery is None:
                self._outcomes.count(PING)
                return _PONG
            await self._admission.count_verified(channel)
            webhook = VerifiedWebhook(
                channel=channel,
                delivery=delivery,
                body=body,
                content_type=text(intake.headers.get(b"content-type", b"")),
                traceparent=trace.traceparent,
                received_at_s=self._wall_clock(),
            )
            accepted = await self._acceptance.accept(webhook, intake.deadline)
        finally:
            self._held_bytes -= intake.held_bytes
        self._outcomes.count(SPOOLED if accepted.is_spooled else ACCEPTED)
        self._deliveries.accepted(webhook, accepted)
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
        self, path: str, intake: _Intake, receive: Receive
    ) -> tuple[KnownChannel, Delivery | None, bytes]:
        """Return whose webhook this is, what it says of itself (None: it is only a ping), and its body."""
        try:
            channel = await self._find_channel(path, intake)
            if not may_be_activation_ping(channel, intake.headers):
                require_signed(channel, intake.headers)
            body = await self._read_body(intake, receive)
            if is_activation_ping(channel, intake.headers, body):
                # Nobody vouches for it, so it counts as unverified traffic; a real shop sends one a webhook it saves.
                await self._admission.count_unverified(intake.source)
                return channel, None, body
            verified, delivery = await self._verify(channel, intake, body)
        except (UnknownChannelError, GoneChannelError, UnauthenticatedError, ForbiddenError):
            await self._admission.count_unverified(intake.source)
            raise
        return verified, delivery, body

    async def _find_channel(self, path: str, intake: _Intake) -> KnownChannel:
        try:
            channel_id = UUID(path[len(PREFIX) :].rstrip("/"))
            channel = await self._directory.find(channel_id, within_s=intake.deadline.left_s())
        except ValueError:
            channel = None
        except DirectoryAwayError:
            raise ChannelsAwayError("The channel cannot be looked up for the moment; send the webhook again.") from None
        if channel is None:
            raise UnknownChannelError("No channel has this address: copy its webhook URL again.")
        intake.channel = channel
        if not channel.is_active:
            raise GoneChannelError("This channel was disconnected: remove the webhook from the shop.")
        return channel

    async def _verify(self, channel: KnownChannel, intake: _Intake, body: bytes) -> tuple[KnownChannel, Delivery]:
        now_s = self._wall_clock()
        try:
            return channel, verify(channel, intake.headers, body, now_s)
        except UnauthenticatedError:
            # Another process may have rotated the secret since ours was read.
            left_s = intake.deadline.left_s()
            changed = await self._directory.find_again(channel.channel_id, channel, within_s=left_s)
            if changed is None:
                raise
            return changed, verify(changed, intake.headers, body, now_s)

    async def _read_body(self, intake: _Intake, receive: Receive) -> bytes:
        limit = self._limits.body_bytes
        allowed = self._admission.body_limit(intake.source, limit)
        announced = intake.announced_bytes()
        if announced is not None and announced > allowed:
            raise self._too_large(intake, announced)
        chunks: list[bytes] = []
        began_s = self._monotonic()
        try:
            async with asyncio.timeout(self._limits.read_timeout_s):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGoneError
                    chunk: bytes = message.get("body", b"")
                    intake.held_bytes += len(chunk)
                    self._held_bytes += len(chunk)
                    if intake.held_bytes > allowed:
                        raise self._too_large(intake, intake.held_bytes)
                    if self._held_bytes > self._limits.memory_bytes:
                        raise BusyError("Too much is arriving at once; send the webhook again in a moment.")
                    chunks.append(chunk)
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            raise SlowBodyError(
                f"The body did not arrive within {self._limits.read_timeout_s:g} s; send the webhook again."
            ) from None
        intake.is_read = True
        # The caller's time, not ours.
        intake.deadline.extend(self._monotonic() - began_s)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _too_large(self, intake: _Intake, size: int) -> RappitError:
        limit = self._limits.body_bytes
        if size > limit:
            return WebhookTooLargeError(f"The body is larger than the {limit} bytes accepted here.", limit_bytes=limit)
        return self._admission.too_many(intake.source)

    async def _refuse(self, scope: Scope, send: Send, refusal: RappitError, trace: Trace, intake: _Intake) -> None:
        self._outcomes.count(refusal.code)
        # An address that is no channel's has no tenant whose log could tell of it: only the metric and the line below.
        if intake.channel is not None:
            self._deliveries.rejected(
                intake.channel,
                refusal,
                client=intake.source,
                announced_bytes=intake.announced_bytes(),
                trace_id=trace.trace_id,
            )
        left_out = self._refused_lines.take()
        if left_out is not None:
            log = _log.warning if refusal.status >= SERVER_ERROR else _log.info
            log(
                "webhook_refused",
                trace_id=trace.trace_id,
                status=refusal.status,
                code=refusal.code,
                path=scope["path"],
                client=intake.source,
                lines_left_out=left_out,
            )
        headers: list[tuple[bytes, bytes]] = []
        if isinstance(refusal, TooManyRequestsError | UnavailableError):
            headers.append((b"retry-after", str(refusal.fields.get("retry_after_s", RETRY_AFTER_S)).encode()))
        if isinstance(refusal, UnauthenticatedError):
            headers.append((b"www-authenticate", b"Signature"))
        if isinstance(refusal, MethodError):
            headers.append((b"allow", b"POST"))
        if intake.leaves_much_unread():
            headers.append(_CLOSE)
        problem = problem_body(refusal.status, refusal.code, refusal.message, refusal.fields)
        problem["trace_id"] = trace.trace_id
        await _answer(send, refusal.status, json.dumps(problem).encode(), PROBLEM_JSON.encode(), trace, headers)


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
