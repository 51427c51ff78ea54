"""A carrier behind its breaker and its bulkhead: the same port, and one carrier's outage is only its own."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from rappit_common.errors import UnavailableError

from rappit_shipping.carriers.breaker import Breakers, BreakerView
from rappit_shipping.domain.carrier import (
    Carrier,
    Credentials,
    Found,
    Label,
    LabelFormat,
    LabelOrder,
    Purchase,
    VoidState,
)


class CarrierBusyError(UnavailableError):
    """As many calls to this carrier are under way as this process allows; nothing was sent."""

    code = "carrier_busy"


class GuardedCarrier:
    """Implements the carrier port around another.

    Args:
        inner: The carrier itself.
        breakers: Asked before any mapping is done.
        concurrency: Calls at once, at most.
        wait_s: How long a call waits for its turn, in seconds.
    """

    def __init__(self, inner: Carrier, breakers: Breakers, *, concurrency: int, wait_s: float) -> None:
        self._inner = inner
        self._breakers = breakers
        self._slots = asyncio.Semaphore(concurrency)
        self._wait_s = wait_s

    @property
    def code(self) -> str:
        """See the port."""
        return self._inner.code

    @property
    def name(self) -> str:
        """See the port."""
        return self._inner.name

    @property
    def can_void(self) -> bool:
        """See the port."""
        return self._inner.can_void

    @property
    def can_find(self) -> bool:
        """See the port."""
        return self._inner.can_find

    def check_credentials(self, credentials: Credentials) -> dict[str, str]:
        """See the port."""
        return self._inner.check_credentials(credentials)

    async def check_available(self) -> None:
        """Refuse at once while the breaker is open.

        Raises:
            CarrierUnavailableError: It is open.
        """
        await self._breakers.check(self.code, self.name)

    async def view(self) -> BreakerView:
        """Return how the breaker stands."""
        return await self._breakers.view(self.code)

    async def buy_label(self, credentials: Credentials, order: LabelOrder) -> Purchase:
        """See the port."""
        async with self._guard():
            return await self._inner.buy_label(credentials, order)

    def read_label(self, raw: Mapping[str, Any], label_format: LabelFormat) -> Label:
        """See the port."""
        return self._inner.read_label(raw, label_format)

    async def void(self, credentials: Credentials, tracking_number: str) -> None:
        """See the port."""
        async with self._guard():
            await self._inner.void(credentials, tracking_number)

    async def find(self, credentials: Credentials, reference: str) -> Found | None:
        """See the port."""
        async with self._guard():
            return await self._inner.find(credentials, reference)

    async def void_state(
        self, credentials: Credentials, tracking_number: str, *, bought_at: datetime, now: datetime
    ) -> VoidState:
        """See the port."""
        async with self._guard():
            return await self._inner.void_state(credentials, tracking_number, bought_at=bought_at, now=now)

    @asynccontextmanager
    async def _guard(self) -> AsyncGenerator[None]:
        # The breaker first: an open one answers at once, however long the queue for a slot is.
        await self.check_available()
        try:
            async with asyncio.timeout(self._wait_s):
                await self._slots.acquire()
        except TimeoutError:
            raise CarrierBusyError(
                f"Too many calls to {self.name} are under way; nothing was sent. Try again in a moment.",
                carrier=self.name,
                retry_after_s=max(1, int(self._wait_s)),
            ) from None
        try:
            async with self._breakers.call(self.code, self.name):
                yield
        finally:
            self._slots.release()
