"""Waiting until every process of a stack can work, with visible progress and an early end when one cannot."""

import time
from collections import Counter
from collections.abc import Callable, Mapping

import httpx

from rappit_devstack import processes
from rappit_devstack.errors import DevstackError
from rappit_devstack.supervisor import Status, Supervisor

POLL_S = 0.1
PROBE_TIMEOUT_S = 2.0
TRIES_BEFORE_TELLING = 3


def wait_ready(
    supervisor: Supervisor, probes: Mapping[str, Callable[[], str]], *, timeout_s: float, say: Callable[[str], None]
) -> None:
    """Wait until every probe is content.

    Args:
        supervisor: Asked whether a process has given up.
        probes: Process name to a function that returns "" when it is ready, else the reason why not.
        timeout_s: For all of them together.
        say: Told about each one that is ready.

    Raises:
        DevstackError: One cannot start, or the time is over; it names it, why, and shows the end of its log.
    """
    begun = time.monotonic()
    pending = dict(probes)
    reasons: dict[str, str] = {}
    quick_ends = QuickEnds()
    while pending:
        for name, probe in list(pending.items()):
            reasons[name] = probe()
            if not reasons[name]:
                del pending[name]
                say(f"{name}: ready after {time.monotonic() - begun:.1f} s")
        for name, status in supervisor.statuses().items():
            if name in pending and (status.hopeless or quick_ends.count(status) >= TRIES_BEFORE_TELLING):
                _fail(supervisor, name, f"cannot start ({status.description})")
        if pending and time.monotonic() - begun > timeout_s:
            name = next(iter(pending))
            others = f"; neither are {', '.join(list(pending)[1:])}" if len(pending) > 1 else ""
            _fail(supervisor, name, f"is not ready after {timeout_s:.0f} s: {reasons[name]}{others}")
        if pending:
            time.sleep(POLL_S)


class QuickEnds:
    """Counts how often each process ended right after its start: nobody wants to wait for the twentieth time."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._before: dict[str, str] = {}

    def count(self, status: Status) -> int:
        """Take note of a status and return how many quick ends its process had."""
        if status.state == "BACKOFF" and self._before.get(status.name) != "BACKOFF":
            self._counts[status.name] += 1
        self._before[status.name] = status.state
        return self._counts[status.name]


def http_client() -> httpx.Client:
    """Return a client for probes; no proxy of the machine's stands before loopback addresses."""
    return httpx.Client(timeout=PROBE_TIMEOUT_S, trust_env=False)


def http_probe(client: httpx.Client, url: str, *, expected: int = 200) -> Callable[[], str]:
    """Return a probe that asks an address and wants a status."""

    def probe() -> str:
        try:
            response = client.get(url)
        except httpx.HTTPError as error:
            return f"{url} does not answer ({type(error).__name__})"
        return (
            "" if response.status_code == expected else f"{url} answers {response.status_code}: {response.text[:300]}"
        )

    return probe


def _fail(supervisor: Supervisor, name: str, what: str) -> None:
    log = supervisor.log(name)
    raise DevstackError(f"{name} {what}. Its log is {log} and ends:\n{processes.tail(log)}")
