"""A TCP proxy for each link between a service and a server: cut, reset, delayed, stalled, and back."""

import asyncio
import contextlib
import socket
import struct
from enum import StrEnum

CHUNK_BYTES = 64 * 1024
CONNECT_TIMEOUT_S = 2.0
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Trouble(StrEnum):
    """What may happen to a link."""

    CUT = "cut"
    """Connections end, and new ones are refused."""
    RESET = "reset"
    """Connections end with RST; new ones are welcome."""
    DELAY = "delay"
    """Every piece is late."""
    STALL = "stall"
    """Nothing comes through, and nothing ends: the kind of outage that hangs."""


class Link:
    """One service's way to one server.

    Args:
        name: ``<service>-<server>``.
        delay_s: What DELAY adds to every piece, in each direction.
    """

    def __init__(self, name: str, *, delay_s: float = 0.15) -> None:
        self.name = name
        self.port = 0
        self._delay_s = delay_s
        self._target: tuple[str, int] | None = None
        self._trouble: Trouble | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def listen(self, host: str, port: int) -> None:
        """Begin to take connections."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=CHUNK_BYTES)
        self.port = port

    def lead_to(self, host: str, port: int) -> None:
        """Say where the server is."""
        self._target = host, port

    def suffer(self, trouble: Trouble) -> None:
        """Put a trouble in force."""
        self._trouble = trouble
        if trouble is Trouble.STALL:
            self._flowing.clear()
        if trouble in {Trouble.CUT, Trouble.RESET}:
            self._end_all()
        if trouble is Trouble.RESET:
            self._trouble = None

    def heal(self) -> None:
        """Let everything through again."""
        self._trouble = None
        self._flowing.set()

    async def close(self) -> None:
        """End all connections and stop listening."""
        if self._server is not None:
            self._server.close()
        self._flowing.set()
        self._end_all()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _end_all(self) -> None:
        for writer in list(self._open):
            _reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._trouble is Trouble.CUT or self._target is None:
            _reset(writer)
            return
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                far_reader, far_writer = await asyncio.open_connection(*self._target, limit=CHUNK_BYTES)
        except (OSError, TimeoutError):
            _reset(writer)
            return
        ends = (writer, far_writer)
        self._open.update(ends)
        try:
            pumps = [
                asyncio.create_task(self._pump(reader, far_writer)),
                asyncio.create_task(self._pump(far_reader, writer)),
            ]
            # One side's end is the other's: no protocol of ours closes by halves.
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            self._open.difference_update(ends)
            for end in ends:
                end.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                if self._trouble is Trouble.DELAY:
                    await asyncio.sleep(self._delay_s)
                await self._flowing.wait()
                writer.write(chunk)
                await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()
