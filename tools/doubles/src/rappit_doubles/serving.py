"""Run a double as a real HTTP server: in the foreground for the command, in a thread for tests."""

import signal
import socket
import struct
import threading
import time
from asyncio import BaseTransport, Transport
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import Final, cast

import uvicorn
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

from rappit_doubles.asgi import Application, Scope

START_DEADLINE_S: Final = 10.0
GRACEFUL_SHUTDOWN_S: Final = 2
POLL_INTERVAL_S: Final = 0.005

# Open connections by (client, server) address. ASGI hides the socket, but a carrier that drops a connection is a
# fault worth playing, and only the transport can do it.
_open_connections: dict[tuple[object, object], Transport] = {}


class _AbortableProtocol(H11Protocol):
    """uvicorn's HTTP protocol, which also remembers its transport so that `abort_connection` can find it."""

    @override
    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(cast("Transport", transport))
        _open_connections[self.client, self.server] = cast("Transport", transport)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        _open_connections.pop((self.client, self.server), None)
        super().connection_lost(exc)


def abort_connection(scope: Scope) -> None:
    """Drop the connection of an ASGI request with a TCP reset, as a crashing carrier gateway does.

    Raises:
        RuntimeError: The application is not served by this module, so its connection cannot be found.
    """
    transport = _open_connections.get((tuple(scope["client"]), tuple(scope["server"])))
    if transport is None:
        raise RuntimeError("A reset needs the server of rappit_doubles.serving; start the double with it.")
    connection = cast("socket.socket | None", transport.get_extra_info("socket"))
    if connection is not None:
        # Linger 0: close sends RST instead of FIN, so the client sees a reset rather than an empty answer.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _configured(app: Application, *, host: str, port: int) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=_AbortableProtocol,
        ws="none",
        access_log=False,
        log_level="warning",
        proxy_headers=False,  # it would rewrite scope["client"], by which connections are found
        timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_S,
    )
    return uvicorn.Server(config)


def serve(app: Application, *, host: str, port: int, name: str) -> None:
    """Serve `app` until SIGTERM or SIGINT; requests under way get `GRACEFUL_SHUTDOWN_S` seconds.

    Raises:
        OSError: The address cannot be listened on.
    """
    # Bound here and not by uvicorn, which would log a taken port and end the process by itself.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as listener:
        bound_port = int(listener.getsockname()[1])
        # uvicorn raises the signal again once it has stopped gracefully; by then it is answered, so exit with 0.
        for stop in (signal.SIGTERM, signal.SIGINT):
            signal.signal(stop, _already_stopped)
        print(f"{name} double on http://{host}:{bound_port}", flush=True)
        _configured(app, host=host, port=bound_port).run(sockets=[listener])


def _already_stopped(_number: int, _frame: FrameType | None) -> None:
    """Nothing is left to do."""


@contextmanager
def serving(app: Application, *, host: str = "127.0.0.1", port: int = 0) -> Generator[str, None, None]:
    """Serve `app` from a thread for the length of a `with` block, for tests of any service.

    Args:
        app: An ASGI application.
        host: The address to listen on.
        port: The port; 0 takes a free one.

    Yields:
        The base URL, without a trailing slash.

    Raises:
        RuntimeError: The server did not start within `START_DEADLINE_S`.
    """
    listener = socket.create_server((host, port))
    bound_port = int(listener.getsockname()[1])
    server = _configured(app, host=host, port=bound_port)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True, name="double")
    thread.start()
    deadline = time.monotonic() + START_DEADLINE_S
    while not server.started:
        if time.monotonic() > deadline or not thread.is_alive():
            raise RuntimeError(f"The double did not start on {host}:{bound_port}.")
        time.sleep(POLL_INTERVAL_S)
    try:
        yield f"http://{host}:{bound_port}"
    finally:
        server.should_exit = True
        thread.join(timeout=START_DEADLINE_S)
        listener.close()
