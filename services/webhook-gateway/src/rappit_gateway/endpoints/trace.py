"""The trace of one webhook: continued or begun, at the cost of a few microseconds where no spans leave the process."""

import os
import random
import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from opentelemetry.trace import SpanKind
from rappit_common.tracing import TRACEPARENT, continued_span, current_traceparent

from rappit_gateway.domain.signatures import Headers

_TRACEPARENT = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_NO_TRACE = b"0" * 32
_NO_SPAN = b"0" * 16


@dataclass(frozen=True, slots=True)
class Trace:
    """Where a request stands in its trace.

    Attributes:
        trace_id: 32 hexadecimal digits.
        traceparent: For the message, with this request's span as its parent.
    """

    trace_id: str
    traceparent: str


class Tracing:
    """Gives each request its trace.

    Args:
        sample_ratio: Part of the traces begun here that services keep the spans of.
        exports: Whether this process sends spans away; only then are they made (a span costs as much as the HMAC).
    """

    def __init__(self, *, sample_ratio: float, exports: bool) -> None:
        self._sample_ratio = sample_ratio
        self._exports = exports

    @contextmanager
    def follow(self, headers: Headers) -> Generator[Trace]:
        """Run a request inside its trace."""
        given = headers.get(b"traceparent", b"")
        if not self._exports:
            yield self._by_hand(given)
            return
        carrier = {TRACEPARENT: given.decode("latin-1")} if given else {}
        with continued_span("accept webhook", carrier, SpanKind.SERVER):
            traceparent = current_traceparent()
            yield self._by_hand(given) if traceparent is None else Trace(traceparent[3:35], traceparent)

    def _by_hand(self, given: bytes) -> Trace:
        found = _TRACEPARENT.fullmatch(given)
        span_id = os.urandom(8).hex()
        if found is not None and found[1] != _NO_TRACE and found[2] != _NO_SPAN:
            trace_id, flags = found[1].decode(), found[3].decode()
        else:
            trace_id = os.urandom(16).hex()
            flags = "01" if random.random() < self._sample_ratio else "00"  # noqa: S311 - chooses samples, no secret
        return Trace(trace_id, f"00-{trace_id}-{span_id}-{flags}")
