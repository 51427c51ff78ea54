"""What happens to a message whose handler failed.

- A refusal by the domain or an unreadable message is poison: to the dead letters at once.
- So is a message older than the inbox remembers: it may have been handled before, and nobody could tell.
- PostgreSQL being away burns no attempt: the handler is held and run again when the server is back.
- Anything else is tried three times in all, with growing delays, then goes to the dead letters.

The copies for a delay or for the dead letters are confirmed before the original is acked, so a crash between the two
leaves a duplicate, which the inbox absorbs, and never a gap.
"""

import asyncio
import json
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import structlog
from faststream import BaseMiddleware
from faststream.exceptions import HandlerException, NackMessage
from faststream.message import StreamMessage
from opentelemetry import metrics
from pydantic import ValidationError

from rappit_common.clock import new_id, utc_now
from rappit_common.database.engine import Database, is_outage
from rappit_common.errors import InvalidError, RappitError, UnavailableError
from rappit_common.logs import get_logger
from rappit_common.messaging.events import (
    DEAD_LETTERS_EXCHANGE,
    HEADER_ATTEMPT,
    HEADER_ERROR_MESSAGE,
    HEADER_ERROR_STACK,
    HEADER_ERROR_TYPE,
    HEADER_ORGANIZATION,
)
from rappit_common.messaging.headers import attempt_of, bounded, json_safe
from rappit_common.messaging.publisher import BrokerAwayError, Publisher
from rappit_common.messaging.topology import delay_name
from rappit_common.metrics import Level
from rappit_common.tracing import TRACEPARENT, continued_span

MAX_MESSAGE_CHARACTERS = 2_000
MAX_STACK_CHARACTERS = 16_000
HOLD_FIRST_S = 0.02
HOLD_MAX_S = 5.0
# RabbitMQ closes a consumer that keeps a message unacknowledged for 30 minutes.
HOLD_IN_ALL_S = 20 * 60
BROKER_PAUSE_S = 1.0
# How much longer a claim is kept than a message may be old: for clocks that differ, handlers that are held, copies that
# a spool made a little later than the first.
CLAIM_MARGIN = timedelta(days=1)
# Headers the broker or we put on for one delivery: a copy must not carry them on.
_OF_ONE_DELIVERY = ("x-death", "x-delivery-count", "x-first-death-", "x-last-death-", "rappit-error-")

_log = get_logger()
_meter = metrics.get_meter("rappit.messaging")
_messages = _meter.create_counter(
    "rappit.messages", unit="{message}", description="Messages by what became of them: handled, retried and so on."
)
_durations = _meter.create_histogram(
    "rappit.message.duration",
    unit="s",
    description="From a message's arrival to its settlement, the time it was held included.",
    explicit_bucket_boundaries_advisory=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 30, 300),
)
_held = Level("rappit.consumer.held", unit="{message}", description="Messages that wait for PostgreSQL to come back.")
# Made once each: a queue is one of a few names of ours.
_attributes: dict[tuple[str, str], dict[str, str]] = {}


class Outcome(StrEnum):
    """What became of a message."""

    HANDLED = "handled"
    RETRIED = "retried"
    DEAD_LETTERED = "dead_lettered"
    RETURNED = "returned"


class UnreadableMessageError(RappitError):
    """The message's bytes are not what its contract says."""

    status = 422
    code = "unreadable_message"


class MessageTooOldError(InvalidError):
    """The message is older than the inbox's memory of what was handled."""

    code = "message_too_old"


class MessageReturnedError(Exception):
    """The message could neither be handled nor be set aside: it goes back to its queue, and no attempt is counted."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message as it came, whoever reads it from its queue."""

    queue: str
    body: bytes
    message_id: str | None
    event: str | None
    content_type: str | None
    headers: Mapping[str, Any]
    created_at: datetime | None

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return attempt_of(self.headers)


@dataclass(slots=True)
class RetryPolicy:
    """How a service's consumers fail well.

    Args:
        service: Names the delay queues.
        publisher: For the copies.
        database: Asked whether it is back, while a handler is held.
        delays_s: The pause before each further attempt, so there are ``len(delays_s) + 1`` attempts in all.
        keep_claims: How long the inbox remembers what was handled; an older message is not handled any more.
        now: The clock that a message's age is told by.
    """

    service: str
    publisher: Publisher
    database: Database
    delays_s: tuple[float, ...]
    keep_claims: timedelta = timedelta(days=7)
    now: Callable[[], datetime] = utc_now
    held: int = field(default=0, init=False)

    async def until_database_answers(self, pause_s: float) -> bool:
        """Wait ``pause_s`` and then for PostgreSQL. Returns False when it stayed away for 20 minutes."""
        self.held += 1
        _held.set(self.held)
        try:
            async with asyncio.timeout(HOLD_IN_ALL_S):
                while True:
                    await asyncio.sleep(pause_s)
                    try:
                        await self.database.ping()
                    except Exception as error:  # noqa: BLE001 - every reason not to answer is the same to a waiter
                        _log.warning("consumer_held", reason="database_away", error=repr(error))
                        pause_s = min(HOLD_MAX_S, pause_s * 2)
                    else:
                        return True
        except TimeoutError:
            return False
        finally:
            self.held -= 1
            _held.set(self.held)

    def check_age(self, delivery: Delivery) -> None:
        """Refuse a message that may have been handled so long ago that its claim is gone.

        One that carries no time is none of ours, or of a version before there was one: it is handled.

        Raises:
            MessageTooOldError: It is older than ``keep_claims``, less a day.
        """
        if delivery.created_at is None:
            return
        age = self.now() - delivery.created_at
        if age <= self.keep_claims - CLAIM_MARGIN:
            return
        raise MessageTooOldError(
            f"This message is from {delivery.created_at:%Y-%m-%d %H:%M} UTC, and what was handled is remembered for "
            f"{self.keep_claims.days} days: whether this one was cannot be told any more. If its effect is missing, "
            "perhaps since its consumer was away all the time, requeue it: it is then a new message. Else discard it.",
            created_at=delivery.created_at.isoformat(),
            keep_days=self.keep_claims.days,
        )

    def is_poison(self, error: Exception) -> bool:
        """Tell whether trying again cannot help."""
        if isinstance(error, UnavailableError):
            return False
        return isinstance(error, RappitError | ValidationError | UnicodeDecodeError | json.JSONDecodeError)


async def consume(policy: RetryPolicy, delivery: Delivery, handle: Callable[[], Awaitable[Any]]) -> Any:
    """Run a message's handler in the message's trace and log context, and deal with its failure.

    Returns:
        What the handler returned, or None when the message was set aside: to be acked in both cases.

    Raises:
        MessageReturnedError: The message goes back to its queue.
        HandlerException: Raised by the handler: FastStream's own words, passed on.
    """
    attempt = delivery.attempt
    fields = {
        "queue": delivery.queue,
        "message_id": delivery.message_id,
        "event_name": delivery.event,
        "organization_id": delivery.headers.get(HEADER_ORGANIZATION),
        "attempt": attempt,
    }
    with (
        continued_span(delivery.queue, _trace_headers(delivery.headers)),
        structlog.contextvars.bound_contextvars(**fields),
    ):
        started = time.perf_counter()
        try:
            result, outcome = await _attempt(policy, delivery, handle)
        except MessageReturnedError:
            _count(delivery.queue, Outcome.RETURNED, time.perf_counter() - started)
            raise
        duration_s = time.perf_counter() - started
        _count(delivery.queue, outcome, duration_s)
        # What a handler has bound (an order's id) stands on this line too, so that one search finds its story.
        _log.info("message_consumed", duration_ms=round(duration_s * 1000, 1))
        return result


def _count(queue: str, outcome: Outcome, duration_s: float) -> None:
    attributes = _attributes.get((queue, outcome))
    if attributes is None:
        attributes = _attributes[queue, outcome] = {"queue": queue, "outcome": outcome.value}
    _messages.add(1, attributes)
    _durations.record(duration_s, attributes)


def make_retry_middleware(policy: RetryPolicy) -> type[BaseMiddleware[Any, Any]]:
    """Return the FastStream middleware that applies ``policy`` to every subscriber of a broker."""

    class RetryMiddleware(BaseMiddleware[Any, Any]):
        async def consume_scope(
            self, call_next: Callable[[StreamMessage[Any]], Awaitable[Any]], msg: StreamMessage[Any]
        ) -> Any:
            delivery = Delivery(
                queue=_queue_of(self.context),
                body=msg.raw_message.body,
                message_id=msg.message_id,
                event=msg.raw_message.type,
                content_type=msg.content_type,
                headers=msg.headers,
                created_at=msg.raw_message.timestamp,
            )
            try:
                return await consume(policy, delivery, lambda: call_next(msg))
            except MessageReturnedError as error:
                raise NackMessage(requeue=True) from error

    return RetryMiddleware


def _queue_of(context: Any) -> str:
    return str(context.get_local("log_context", {}).get("queue", "unknown"))


def _trace_headers(headers: Mapping[str, Any]) -> dict[str, str]:
    value = headers.get(TRACEPARENT)
    return {TRACEPARENT: value} if isinstance(value, str) else {}


async def _attempt(
    policy: RetryPolicy, delivery: Delivery, handle: Callable[[], Awaitable[Any]]
) -> tuple[Any, Outcome]:
    pause_s = HOLD_FIRST_S
    deadline = asyncio.get_running_loop().time() + HOLD_IN_ALL_S
    while True:
        try:
            policy.check_age(delivery)
            return await handle(), Outcome.HANDLED
        except HandlerException:
            raise
        except Exception as error:
            if is_outage(error):
                late = asyncio.get_running_loop().time() > deadline
                if late or not await policy.until_database_answers(pause_s):
                    raise MessageReturnedError from error
                # A server may answer and still refuse, as a standby refuses to write: the pause keeps growing.
                pause_s = min(HOLD_MAX_S, pause_s * 2)
                continue
            return None, await _set_aside(policy, delivery, error)


async def _set_aside(policy: RetryPolicy, delivery: Delivery, error: Exception) -> Outcome:
    queue, attempt = delivery.queue, delivery.attempt
    poison = policy.is_poison(error)
    last = attempt > len(policy.delays_s)
    headers = json_safe({k: v for k, v in delivery.headers.items() if not k.startswith(_OF_ONE_DELIVERY)})
    if poison or last:
        exchange, routing_key = DEAD_LETTERS_EXCHANGE, queue
        headers |= {HEADER_ATTEMPT: attempt, **_error_headers(error)}
        _log.error("message_dead_lettered", error_type=type(error).__name__, poison=poison, exc_info=error)
    else:
        delay_s = policy.delays_s[attempt - 1]
        exchange, routing_key = delay_name(policy.service, delay_s), queue
        headers |= {HEADER_ATTEMPT: attempt + 1}
        _log.warning("message_retried", error_type=type(error).__name__, delay_s=delay_s, exc_info=error)
    try:
        await policy.publisher.publish(
            delivery.body,
            exchange=exchange,
            routing_key=routing_key,
            event=delivery.event or "",
            message_id=delivery.message_id or str(new_id()),
            content_type=delivery.content_type or "application/octet-stream",
            headers=bounded(headers),
            created_at=delivery.created_at or policy.now(),
        )
    except BrokerAwayError as away:
        # The copy was not confirmed: the original goes back, and no attempt is counted.
        await asyncio.sleep(BROKER_PAUSE_S)
        raise MessageReturnedError from away
    return Outcome.DEAD_LETTERED if poison or last else Outcome.RETRIED


def _error_headers(error: Exception) -> dict[str, str]:
    if isinstance(error, RappitError):
        message, kind = error.message, error.code
    else:
        message, kind = str(error) or type(error).__name__, f"{type(error).__module__}.{type(error).__qualname__}"
    stack = "".join(traceback.format_exception(error))
    return {
        HEADER_ERROR_TYPE: kind[:300],
        HEADER_ERROR_MESSAGE: message[:MAX_MESSAGE_CHARACTERS],
        HEADER_ERROR_STACK: stack[-MAX_STACK_CHARACTERS:],
    }
