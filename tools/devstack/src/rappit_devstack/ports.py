"""Free TCP ports on the loopback interface."""

import secrets
import socket
from collections.abc import Collection

from rappit_devstack.errors import DevstackError

LOOPBACK = "127.0.0.1"
# Below Linux's ephemeral range (32768 and up): a client that reconnects to a stopped server whose port is
# ephemeral can be given that very port as its own and end up connected to itself.
LOWEST, HIGHEST = 20_000, 32_000
ATTEMPTS = 200


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port in TIME_WAIT is free, one that is listened on is not.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def answers(port: int, *, timeout_s: float = 1.0) -> bool:
    """Whether something accepts connections on this loopback port."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=timeout_s):
            return True
    except OSError:
        return False


def choose(*, preferred: int | None = None, taken: Collection[int] = ()) -> int:
    """Return a free loopback port, the preferred one where it is free.

    Args:
        preferred: Tried first.
        taken: Ports that are promised to others, though nothing listens there yet.

    Raises:
        DevstackError: No free port was found.
    """
    if preferred is not None and preferred not in taken and is_free(preferred):
        return preferred
    for _ in range(ATTEMPTS):
        port = LOWEST + secrets.randbelow(HIGHEST - LOWEST)
        if port not in taken and is_free(port):
            return port
    raise DevstackError(
        f"No free port was found between {LOWEST} and {HIGHEST} on {LOOPBACK}: stop some programs that listen there."
    )
