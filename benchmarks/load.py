"""A load client that costs little: one process with the server's cores must not be what is measured.

Requests are made once, as bytes; answers are looked at only for their status and length. Anything but a 200 ends the
measurement, since a fast refusal is no throughput.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from typing import cast

STEP_S = 0.002


class RefusedError(RuntimeError):
    """The server answered something else than 200."""


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self.on_answer: Callable[[], None] = lambda: None
        self.error: BaseException | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def send(self, request: bytes) -> None:
        assert self._transport is not None
        self._transport.write(request)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data if self._buffer else data
        head = data.find(b"\r\n\r\n")
        if head < 0:
            self._buffer = data
            return
        start = data.find(b"content-length: ", 0, head) + 16
        length = int(data[start : data.find(b"\r", start)])
        if len(data) < head + 4 + length:
            self._buffer = data
            return
        self._buffer = b""
        if data[9:12] != b"200":
            self.error = RefusedError(data[:500].decode("latin-1"))
        self.on_answer()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.error is None:
            self.error = exc or ConnectionError("the server closed the connection")
        self.on_answer()


async def _connect(host: str, port: int, number: int) -> list[_Connection]:
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(_Connection, host, port) for _ in range(number)]
    return [protocol for _, protocol in made]


def http_request(host: str, path: str, headers: dict[str, str], body: bytes) -> bytes:
    lines = [f"POST {path} HTTP/1.1", f"host: {host}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def closed_loop(host: str, port: int, make: Callable[[], bytes], *, connections: int, seconds: float) -> float:
    """Send the next request of a connection when the one before is answered. Returns answers per second."""
    pool = await _connect(host, port, connections)
    answered = 0
    running = True
    idle = 0
    done = asyncio.Event()
    errors: list[BaseException] = []

    def next_of(connection: _Connection) -> Callable[[], None]:
        def on_answer() -> None:
            nonlocal answered, idle
            if connection.error is not None:
                errors.append(connection.error)
                done.set()
                return
            answered += 1
            if running:
                connection.send(make())
            else:
                idle += 1
                if idle == connections:
                    done.set()

        return on_answer

    started = time.perf_counter()
    for connection in pool:
        connection.on_answer = next_of(connection)
        connection.send(make())
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await done.wait()
    elapsed, counted, running = time.perf_counter() - started, answered, False
    if not errors:
        async with asyncio.timeout(30):
            await done.wait()
    for connection in pool:
        connection.on_answer = lambda: None
        connection.close()
    if errors:
        raise errors[0]
    return counted / elapsed


class _SteadyLoad:
    """Sends when a request is due, or as soon as a connection is free after that."""

    def __init__(self, pool: list[_Connection], make: Callable[[], bytes], total: int) -> None:
        self._free = pool
        self._make = make
        self._total = total
        self._waiting: deque[float] = deque()
        self.latencies: list[float] = []
        self.error: BaseException | None = None
        self.done = asyncio.Event()

    def request(self, due: float) -> None:
        if self._free:
            self._begin(self._free.pop(), due)
        else:
            self._waiting.append(due)

    def _begin(self, connection: _Connection, due: float) -> None:
        connection.on_answer = lambda: self._on_answer(connection, due)
        connection.send(self._make())

    def _on_answer(self, connection: _Connection, due: float) -> None:
        if connection.error is not None:
            self.error = connection.error
            self.done.set()
            return
        self.latencies.append(time.perf_counter() - due)
        if self._waiting:
            self._begin(connection, self._waiting.popleft())
        else:
            self._free.append(connection)
        if len(self.latencies) == self._total:
            self.done.set()


async def open_loop(
    host: str, port: int, make: Callable[[], bytes], *, rate: float, connections: int, seconds: float
) -> list[float]:
    """Send at a steady rate whatever the answers do. Returns latencies in seconds, each from when it was due."""
    pool = await _connect(host, port, connections)
    total = int(rate * seconds)
    load = _SteadyLoad(list(pool), make, total)
    started = time.perf_counter()
    sent = 0
    while sent < total and load.error is None:
        now = time.perf_counter()
        while sent < total and started + sent / rate <= now:
            load.request(started + sent / rate)
            sent += 1
        # In steps, since the loop's timers are no finer: shorter sleeps spin, and took most of a core from what is
        # measured. A latency counts from when its request was due, so the step is in it.
        await asyncio.sleep(STEP_S)
    async with asyncio.timeout(30):
        await load.done.wait()
    for connection in pool:
        connection.on_answer = lambda: None
        connection.close()
    if load.error is not None:
        raise load.error
    return load.latencies
