"""Sending webhooks: once, many times, at once or in turn, with a channel's own timeouts and retries."""

import asyncio
import json
import random
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Self

import httpx

from rappit_doubles.channels.values import Source
from rappit_doubles.clock import Clock, now_utc

MAX_REMEMBERED: Final = 5_000
MAX_TIMES: Final = 10_000
MAX_CONCURRENT: Final = 200


@dataclass(frozen=True)
class Retries:
    """How a channel tries again after anything but success: the waits between attempts, in seconds."""

    waits_s: tuple[float, ...]

    @classmethod
    def shopify(cls, *, scale: float = 1.0) -> Self:
        """Eight retries over four hours, growing; `scale` shortens them (0.0001 makes it 1.4 s in all)."""
        waits_s = (60, 120, 240, 480, 900, 1_800, 3_600, 7_200)
        return cls(tuple(wait_s * scale for wait_s in waits_s))


NO_RETRIES: Final = Retries(())


@dataclass(frozen=True)
class Delivery:
    """One attempt: what was sent under which id, and what came back (`status` None: `error` says why)."""

    topic: str
    webhook_id: str
    attempt: int
    status: int | None
    error: str | None
    at: datetime


@dataclass(frozen=True)
class Parcel:
    """One webhook, ready to send. `headers` is asked anew for each attempt."""

    topic: str
    webhook_id: str
    body: bytes
    headers: Callable[[], Mapping[str, str]]


@dataclass(frozen=True)
class Letter:
    """What a channel writes its headers for: triggered once, and then tried.

    `forge` asks for a signature with a wrong secret.
    """

    topic: str
    webhook_id: str
    body: bytes
    triggered_at: datetime
    forge: bool


class Sender(ABC):
    """What the channels share. Use as an async context manager, or call `aclose`."""

    timeout_s: float = 60.0
    connect_timeout_s: float = 60.0

    def __init__(
        self,
        url: str,
        *,
        clock: Clock = now_utc,
        rng: random.Random | None = None,
        client: httpx.AsyncClient | None = None,
        retries: Retries = NO_RETRIES,
    ) -> None:
        self.url = url
        self.source = Source(clock, rng or random.SystemRandom())
        self.deliveries: deque[Delivery] = deque(maxlen=MAX_REMEMBERED)
        self._retries = retries
        self._owned = client is None
        self._client = client or httpx.AsyncClient()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections, if this sender opened them."""
        if self._owned:
            await self._client.aclose()

    @abstractmethod
    def headers_of(self, letter: Letter) -> Mapping[str, str]:
        """The channel's own headers, signature included. Asked anew for each attempt."""

    @abstractmethod
    def new_delivery_id(self) -> str:
        """The id of a delivery that was given none."""

    def written(self, payload: Mapping[str, Any]) -> bytes:
        """A payload as the channel's own JSON."""
        return json.dumps(payload, ensure_ascii=False).encode()

    async def deliver(
        self,
        topic: str,
        payload: Mapping[str, Any] | bytes,
        *,
        times: int = 1,
        concurrently: bool = False,
        webhook_id: str | None = None,
        forge: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> list[httpx.Response]:
        """Deliver any topic; see `SentOrder.deliver`."""
        body = payload if isinstance(payload, bytes) else self.written(payload)
        letter = Letter(topic, webhook_id or self.new_delivery_id(), body, self.source.clock(), forge)
        parcel = Parcel(topic, letter.webhook_id, body, lambda: {**self.headers_of(letter), **(headers or {})})
        return await self.send(parcel, times=times, concurrently=concurrently)

    def succeeded(self, status: int) -> bool:
        """Whether the channel takes a status for success."""
        return 200 <= status < 300  # noqa: PLR2004 - the 2xx of HTTP

    async def send(self, parcel: Parcel, *, times: int = 1, concurrently: bool = False) -> list[httpx.Response]:
        """Send one webhook `times` times.

        Returns:
            Every answer received, retries included, in the order of sending.

        Raises:
            ValueError: `times` is not within 1 to 10,000.
            httpx.TransportError: An attempt got no answer and no retry is left.
        """
        if not 1 <= times <= MAX_TIMES:
            raise ValueError(f"times must be within 1 and {MAX_TIMES}.")
        if not concurrently:
            return [answer for _ in range(times) for answer in await self._with_retries(parcel)]
        gate = asyncio.Semaphore(MAX_CONCURRENT)

        async def one() -> list[httpx.Response]:
            async with gate:
                return await self._with_retries(parcel)

        answers = await asyncio.gather(*(one() for _ in range(times)))
        return [answer for received in answers for answer in received]

    async def _with_retries(self, parcel: Parcel) -> list[httpx.Response]:
        answers: list[httpx.Response] = []
        for attempt, wait_s in enumerate((0.0, *self._retries.waits_s), start=1):
            await asyncio.sleep(wait_s)
            try:
                answer = await self._attempt(parcel, attempt)
            except httpx.TransportError:
                if attempt > len(self._retries.waits_s):
                    raise
                continue
            answers.append(answer)
            if self.succeeded(answer.status_code):
                break
        return answers

    async def _attempt(self, parcel: Parcel, attempt: int) -> httpx.Response:
        at = self.source.clock()
        status: int | None = None
        error: str | None = None
        try:
            timeout = httpx.Timeout(self.timeout_s, connect=self.connect_timeout_s)
            # httpx bounds each read; the channels bound the whole delivery.
            async with asyncio.timeout(self.timeout_s):
                answer = await self._client.post(
                    self.url, content=parcel.body, headers=dict(parcel.headers()), timeout=timeout
                )
            status = answer.status_code
        except TimeoutError:
            error = f"no answer within {self.timeout_s} s"
            raise httpx.ReadTimeout(error) from None
        except httpx.TransportError as failed:
            error = f"{type(failed).__name__}: {failed}"
            raise
        else:
            return answer
        finally:
            self.deliveries.append(Delivery(parcel.topic, parcel.webhook_id, attempt, status, error, at))


class SentOrder(ABC):
    """An order that its channel tells of.

    Args:
        sender: The channel.
        topic: What is told first.
    """

    def __init__(self, sender: Sender, topic: str) -> None:
        self.topic = topic
        self._sender = sender

    @abstractmethod
    def payload(self, topic: str | None = None) -> dict[str, Any]:
        """The body of a topic, as the order is now; of the one the last change fires when absent."""

    async def deliver(
        self,
        topic: str | None = None,
        *,
        times: int = 1,
        concurrently: bool = False,
        webhook_id: str | None = None,
        forge: bool = False,
        body_override: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> list[httpx.Response]:
        """Deliver the order as it is now; every one of `times` is the same delivery, with the same id and body.

        Args:
            topic: The topic; the one the last change fires when absent.
            times: How often the one delivery is sent.
            concurrently: All at once (up to 200) instead of one after the other.
            webhook_id: The delivery's id; a new one when absent. Repeat one to play a late retry.
            forge: Sign with a wrong secret.
            body_override: Send (and correctly sign) these bytes instead of the order.
            headers: More headers, or other values for the usual ones.

        Returns:
            Every answer.

        Raises:
            httpx.TransportError: No answer, and no retry left.
        """
        asked = topic or self.topic
        return await self._sender.deliver(
            asked,
            self.payload(asked) if body_override is None else body_override,
            times=times,
            concurrently=concurrently,
            webhook_id=webhook_id,
            forge=forge,
            headers=headers,
        )
