"""Rate limits shared by every process of a service, counted in Redis.

Built on pyrate-limiter (the engine of fastapi-limiter): GCRA keeps one timestamp a key, decided by one atomic script,
so a limit costs one round trip and a few bytes whatever the traffic. Used from a pure ASGI app through
:class:`RateLimits`, and from FastAPI through :func:`limit_source`.

A limit of N a minute lets N through at once and then one more every 60/N seconds.
"""

import asyncio
import hashlib
import ipaddress
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from fastapi import Request, Response
from fastapi_limiter.depends import RateLimiter
from opentelemetry import metrics
from pydantic import SecretStr
from pyrate_limiter import (
    GCRA,
    AbstractBucket,
    AbstractClock,
    BucketFactory,
    Duration,
    Limiter,
    Rate,
    RateItem,
    RedisStateStore,
    StateBucket,
    WallClock,
)
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from starlette.types import Scope

from rappit_common.errors import TooManyRequestsError, UnavailableError
from rappit_common.logs import get_logger

CAP_S = 0.25
CONNECTIONS = 32
PAUSE_S = 1.0
MAX_KEY_CHARACTERS = 128
MAX_REMEMBERED_LIMITS = 1_024
IPV6_SITE_BITS = 64

_log = get_logger()
_uncounted = metrics.get_meter("rappit.limits").create_counter(
    "rappit.rate_limit.uncounted", description="Requests decided without counting them, since Redis was away."
)


@dataclass(frozen=True, slots=True)
class Decision:
    """What a limit says to one request.

    Attributes:
        allowed: Whether it may go on.
        retry_after_s: Whole seconds until the next one may; 0 when allowed.
        counted: False when Redis was away, and the limit's own ``fail_open`` decided.
    """

    allowed: bool
    retry_after_s: int = 0
    counted: bool = True


class LimiterAwayError(UnavailableError):
    """The limit cannot be counted, and the endpoint declares that it must be."""

    code = "limiter_away"


class _BucketPerKey(BucketFactory):
    """Gives every key a bucket of its own, whose whole state lies in Redis."""

    def __init__(self, redis: "Redis", name: str, rate: Rate, clock: AbstractClock) -> None:
        self._redis, self._name, self._rate, self._clock = redis, name, rate, clock

    def wrap_item(self, name: str, weight: int = 1) -> RateItem:
        return RateItem(name, cast("int", self._clock.now()), weight)

    def get(self, item: RateItem) -> AbstractBucket:
        store = RedisStateStore(self._redis, f"rappit:limit:{self._name}:{item.name}")
        return StateBucket([self._rate], GCRA(), store, self._clock)


class _KeyedLimiter(Limiter):
    """A limiter that asks for all keys at once.

    The library's own ``try_acquire_async`` holds one lock around the round trip, so that a slow answer for one key
    delays every other; here each call has a bucket object of its own, and Redis is what makes the step atomic.
    """

    def __init__(self, buckets: _BucketPerKey) -> None:
        super().__init__(buckets)
        self._buckets = buckets

    async def decide(self, key: str, requests: int) -> Decision:
        item = self._buckets.wrap_item(key, requests)
        bucket = self._buckets.get(item)
        put: Any = bucket.put(item)
        if await put:
            return Decision(allowed=True)
        # Recorded by the put, so this asks nobody.
        waiting_ms = cast("int", bucket.waiting(item))
        return Decision(allowed=False, retry_after_s=max(1, math.ceil(waiting_ms / 1000)))


class RateLimits:
    """The limits of one service. Connects when first used; close it at the end.

    Args:
        redis_url: ``REDIS_URL``.
        clock: Of the requests, in milliseconds of the epoch; shared between machines, hence the wall's.
        monotonic: Of the pauses while Redis is away, in seconds.
    """

    def __init__(
        self,
        redis_url: SecretStr,
        *,
        clock: AbstractClock | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        pool: Any = BlockingConnectionPool.from_url(
            redis_url.get_secret_value(),
            max_connections=CONNECTIONS,
            timeout=CAP_S,
            socket_timeout=CAP_S,
            socket_connect_timeout=CAP_S,
            # Once more at once, since a pooled connection may have died with the server it knew.
            retry=Retry(NoBackoff(), 1),
        )
        self._redis: Redis = Redis(connection_pool=pool)
        self._clock = clock or WallClock()
        self._monotonic = monotonic
        self._limiters: dict[tuple[str, int], _KeyedLimiter] = {}
        self._paused_until_s: float | None = None

    async def hit(self, name: str, *, key: str, per_minute: int, fail_open: bool, requests: int = 1) -> Decision:
        """Count one request and decide about it, within 0.25 s.

        Args:
            name: Of the limit; keys of different limits never share a bucket.
            key: Whom it counts: a source address, a channel's id.
            per_minute: How many are let through; may differ from call to call, the next decision follows it.
            fail_open: What to answer while Redis is away: let through, or refuse.
            requests: How many are counted at once: all are let through, or none.
        """
        now_s = self._monotonic()
        if self._paused_until_s is not None:
            if now_s < self._paused_until_s:
                return self.undecided(name, fail_open=fail_open)
            # This call looks whether Redis is back; the others need not wait with it.
            self._paused_until_s = now_s + PAUSE_S
        try:
            async with asyncio.timeout(CAP_S):
                decision = await self._limiter(name, per_minute).decide(_bounded(key), requests)
        except (RedisError, OSError, TimeoutError) as error:
            if self._paused_until_s is None:
                _log.warning("rate_limits_away", limit=name, fail_open=fail_open, error=repr(error))
            self._paused_until_s = self._monotonic() + PAUSE_S
            return self.undecided(name, fail_open=fail_open)
        if self._paused_until_s is not None:
            self._paused_until_s = None
            _log.info("rate_limits_back", limit=name)
        return decision

    def limiter(self, name: str, per_minute: int) -> Limiter:
        """Return pyrate-limiter's own view of a limit, for code that is written against it."""
        return self._limiter(name, per_minute)

    def _limiter(self, name: str, per_minute: int) -> _KeyedLimiter:
        limiter = self._limiters.get((name, per_minute))
        if limiter is None:
            if len(self._limiters) >= MAX_REMEMBERED_LIMITS:
                self._limiters.clear()
            rate = Rate(per_minute, Duration.MINUTE)
            limiter = _KeyedLimiter(_BucketPerKey(self._redis, name, rate, self._clock))
            self._limiters[name, per_minute] = limiter
        return limiter

    @staticmethod
    def undecided(name: str, *, fail_open: bool) -> Decision:
        """Return what a limit says when it cannot be counted, and count that."""
        _uncounted.add(1, {"limit": name, "fail_open": fail_open})
        return Decision(allowed=fail_open, retry_after_s=0 if fail_open else math.ceil(PAUSE_S), counted=False)

    async def close(self) -> None:
        """Close the connections to Redis."""
        await self._redis.aclose(close_connection_pool=True)


def _bounded(key: str) -> str:
    return key if len(key) <= MAX_KEY_CHARACTERS else hashlib.sha256(key.encode()).hexdigest()


def source_of(scope: Scope) -> str:
    """Return whom a request counts for: its address, or the /64 network of an IPv6 one.

    A site is given a whole /64, so its single addresses cost an attacker nothing. Behind trusted proxies the server has
    already put the client's own address here (``TRUSTED_PROXIES``).
    """
    client: tuple[str, int] | None = scope.get("client")
    if client is None:
        return "unknown"
    try:
        address = ipaddress.ip_address(client[0])
    except ValueError:
        return client[0]
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, IPV6_SITE_BITS), strict=False))


async def _source_of_request(request: Request) -> str:
    return source_of(request.scope)


class SourceLimit(RateLimiter):
    """fastapi-limiter's dependency, with a bucket per source, ``Retry-After`` and an answer for when Redis is away.

    Its own ``__call__`` keys buckets by a search through the routes, which fails on included routers; this one counts
    per limit name.
    """

    def __init__(self, limits: RateLimits, name: str, *, per_minute: int, fail_open: bool) -> None:
        super().__init__(limits.limiter(name, per_minute), identifier=_source_of_request)
        self._limits = limits
        self._name, self._per_minute, self._fail_open = name, per_minute, fail_open

    async def __call__(self, request: Request, response: Response) -> None:  # noqa: ARG002 - fastapi-limiter's signature
        """Let the request through.

        Raises:
            TooManyRequestsError: The limit is used up; ``retry_after_s`` says when to come back.
            LimiterAwayError: Redis is away and the limit does not fail open.
        """
        key = await self.identifier(request)
        decision = await self._limits.hit(self._name, key=key, per_minute=self._per_minute, fail_open=self._fail_open)
        if decision.allowed:
            return
        if not decision.counted:
            raise LimiterAwayError(
                "Requests cannot be counted for the moment, and this needs it. Try again.",
                retry_after_s=decision.retry_after_s,
            )
        raise TooManyRequestsError(
            f"Too many requests: {self._per_minute} a minute are accepted from one address. "
            f"Try again in {decision.retry_after_s} s.",
            limit=self._name,
            per_minute=self._per_minute,
            retry_after_s=decision.retry_after_s,
        )


def limit_source(limits: RateLimits, name: str, *, per_minute: int, fail_open: bool) -> SourceLimit:
    """Return a FastAPI dependency that limits each source address: ``APIRouter(dependencies=[Depends(...)])``."""
    return SourceLimit(limits, name, per_minute=per_minute, fail_open=fail_open)
