"""A breaker a carrier, shared by all replicas: five failures in a row and nobody asks for a minute."""

import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from purgatory import AsyncCircuitBreakerFactory, AsyncInMemoryUnitOfWork
from purgatory.domain.model import Context, OpenedState
from purgatory.service._async.circuitbreaker import AsyncCircuitBreaker
from rappit_common.errors import RappitError, UnavailableError
from rappit_common.logs import get_logger
from redis.asyncio import Redis
from redis.exceptions import RedisError

from rappit_shipping.carriers.breaker_store import RedisUnitOfWork
from rappit_shipping.domain.carrier import Refused

REDIS_REST_S = 2.0
_REDIS_AWAY = (RedisError, OSError, TimeoutError)
_RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"

State = Literal["closed", "opened", "half-opened"]

_log = get_logger()


class CarrierUnavailableError(UnavailableError):
    """The carrier cannot be asked now; nothing was sent."""

    code = "carrier_unavailable"


@dataclass(frozen=True, slots=True)
class BreakerView:
    """How a breaker stands.

    Attributes:
        state: ``opened`` refuses calls until ``opens_until``; then ``half-opened`` lets one through to try.
        failures: In a row.
        opens_until: When an opened breaker lets the next call try.
        is_shared: False while Redis is away and this process counts by itself.
    """

    state: State
    failures: int
    opens_until: datetime | None
    is_shared: bool


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When breakers open.

    Args:
        threshold: Failures in a row.
        open_s: How long an open one refuses, in seconds.
        probe_s: How long the one call that tries a half-open breaker may take, in seconds.
        namespace: Prefix of the keys in Redis.
    """

    threshold: int = 5
    open_s: float = 60
    probe_s: float = 60
    namespace: str = "rappit:shipping"


class Breakers:
    """The breakers of all carriers.

    While Redis is away each process counts by itself, so a breaker may open a few calls later but a carrier's outage
    still ends in fast answers. After a failure Redis is left alone for two seconds, so that a hung one costs one
    caller its timeout and not everybody theirs.

    Args:
        redis: With a socket timeout well below a second.
        policy: When they open.
    """

    def __init__(self, redis: Redis, policy: BreakerPolicy) -> None:
        self._redis = redis
        self._policy = policy
        self._shared = self._factory(RedisUnitOfWork(redis, f"{policy.namespace}:breaker"))
        self._own = self._factory(AsyncInMemoryUnitOfWork())
        self._own_probes: dict[str, float] = {}
        self._redis_rests_until_s = 0.0

    def _factory(self, unit_of_work: Any) -> AsyncCircuitBreakerFactory:
        # A refusal proves that the carrier is up, so it counts as a success.
        return AsyncCircuitBreakerFactory(self._policy.threshold, self._policy.open_s, [Refused], unit_of_work)

    def _name(self, carrier: str) -> str:
        # The first threshold and time are stored with the breaker for good: other settings are another breaker.
        return f"{carrier}:{self._policy.threshold}:{self._policy.open_s:g}"

    async def view(self, carrier: str) -> BreakerView:
        """Return how a carrier's breaker stands, without asking the carrier."""
        breaker, is_shared = await self._load(carrier)
        context = breaker.context
        opens_until = None
        state: State = context.state
        if state == "opened" and context.opened_at is not None:
            until_s = context.opened_at + context.ttl
            opens_until = datetime.fromtimestamp(until_s, UTC)
            if until_s < time.time():
                state, opens_until = "half-opened", None
        return BreakerView(state, context.failure_count or 0, opens_until, is_shared)

    async def check(self, carrier: str, name: str) -> None:
        """Refuse at once when the breaker is open; cheap, so done before any other work.

        Raises:
            CarrierUnavailableError: It is open.
        """
        view = await self.view(carrier)
        if view.state == "opened":
            until = view.opens_until or datetime.now(UTC)
            raise self._refusal(name, (until - datetime.now(UTC)).total_seconds())

    @asynccontextmanager
    async def call(self, carrier: str, name: str) -> AsyncGenerator[None]:
        """Guard one call to a carrier; what the body raises decides how it counts (``Refused`` is no failure).

        Raises:
            CarrierUnavailableError: The breaker is open, or half-open with another call trying.
        """
        breaker, is_shared = await self._load(carrier)
        probe = await self._admit(breaker.context, carrier, name, is_shared=is_shared)
        try:
            yield
        except RappitError:
            # Our own refusal, before the carrier was asked: it says nothing about the carrier.
            raise
        except Exception as error:
            await self._settle(carrier, breaker, error, is_shared=is_shared, is_probe=probe is not None)
            raise
        else:
            await self._settle(carrier, breaker, None, is_shared=is_shared, is_probe=probe is not None)
        finally:
            if probe is not None:
                await self._release(carrier, probe, is_shared=is_shared)

    async def _admit(self, context: Context, carrier: str, name: str, *, is_shared: bool) -> str | None:
        """Let a call through or raise; returns the probe's mark when this call is the one that tries."""
        try:
            context.handle_new_request()
        except OpenedState as opened:
            wait_s = opened.opened_at + context.ttl - time.time()
            # One shared object: its traceback would grow with every refusal, and it says nothing to a merchant.
            opened.__traceback__ = None
            raise self._refusal(name, wait_s) from None
        if context.state != "half-opened":
            return None
        mark = secrets.token_hex(8)
        if not await self._claim_probe(carrier, mark, is_shared=is_shared):
            raise self._refusal(name, 1)
        _log.info("breaker_probing", carrier=carrier)
        return mark

    async def _settle(
        self, carrier: str, admitted: AsyncCircuitBreaker, error: Exception | None, *, is_shared: bool, is_probe: bool
    ) -> None:
        breaker = admitted
        try:
            if not is_probe:
                # As it stands now, not as it stood before the call: calls at the same time must add up.
                breaker = await (self._shared if is_shared else self._own).get_breaker(self._name(carrier))
                if breaker.context.state != "closed":
                    return
            before = breaker.context.state
            await breaker.__aexit__(type(error) if error else None, error, None)
            if breaker.context.state != before:
                _log.warning("breaker_changed", carrier=carrier, state=breaker.context.state)
        except _REDIS_AWAY as away:
            self._rest(away)

    async def _load(self, carrier: str) -> tuple[AsyncCircuitBreaker, bool]:
        name = self._name(carrier)
        if time.monotonic() >= self._redis_rests_until_s:
            try:
                return await self._shared.get_breaker(name), True
            except _REDIS_AWAY as away:
                self._rest(away)
        return await self._own.get_breaker(name), False

    def _rest(self, error: BaseException) -> None:
        self._redis_rests_until_s = time.monotonic() + REDIS_REST_S
        _log.warning("breaker_redis_away", error=f"{type(error).__name__}: {error}")

    async def _claim_probe(self, carrier: str, mark: str, *, is_shared: bool) -> bool:
        if is_shared:
            try:
                key, lifetime_ms = self._probe_key(carrier), int(self._policy.probe_s * 1_000)
                return bool(await self._redis.set(key, mark, nx=True, px=lifetime_ms))
            except _REDIS_AWAY as away:
                self._rest(away)
        now_s = time.monotonic()
        if self._own_probes.get(carrier, 0) > now_s:
            return False
        self._own_probes[carrier] = now_s + self._policy.probe_s
        return True

    async def _release(self, carrier: str, mark: str, *, is_shared: bool) -> None:
        self._own_probes.pop(carrier, None)
        if is_shared:
            try:
                redis: Any = self._redis
                await redis.eval(_RELEASE, 1, self._probe_key(carrier), mark)
            except _REDIS_AWAY as away:
                # It expires by itself.
                self._rest(away)

    def _probe_key(self, carrier: str) -> str:
        return f"{self._policy.namespace}:probe:{self._name(carrier)}"

    @staticmethod
    def _refusal(name: str, wait_s: float) -> CarrierUnavailableError:
        retry_after_s = max(1, int(wait_s + 0.999))
        return CarrierUnavailableError(
            f"{name} does not answer at the moment and is not asked for another {retry_after_s} s; nothing was sent. "
            "Try again then, or use another carrier.",
            carrier=name,
            retry_after_s=retry_after_s,
        )
