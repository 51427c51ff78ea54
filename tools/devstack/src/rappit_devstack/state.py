"""What a stack remembers between commands: its ports and names, and its secrets."""

import base64
import contextlib
import fcntl
import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any

from rappit_devstack import ports
from rappit_devstack.errors import DevstackError

PROJECT = Path(__file__).resolve().parents[4]
LOCK_WAIT_S = 300


def home() -> Path:
    """The folder below the clone that holds everything this tool makes."""
    return PROJECT / ".rappit"


@contextlib.contextmanager
def locked(
    path: Path, *, wait_s: float = LOCK_WAIT_S, reason: str = "another command is at work there"
) -> Generator[None]:
    """Hold a file lock, so that two commands never change one folder at the same time.

    Args:
        path: The lock file; it stays.
        wait_s: How long to wait for another holder.
        reason: What is said when the wait was in vain.

    Raises:
        DevstackError: Another command holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise DevstackError(
                        f"{path.parent} is in use: {reason}. Wait for it, or end it (`fuser {path}` names it)."
                    ) from None
                time.sleep(0.1)
        yield


class State:
    """A small JSON file of ports and names, written whole or not at all.

    It is read afresh every time, because another command may have changed it, and written by one thread at a time;
    commands exclude each other with `locked`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()

    def _read(self) -> dict[str, Any]:
        try:
            return json.loads(self._path.read_text())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise DevstackError(
                f"{self._path} is damaged ({error}): remove the stack with `make clean` and start again."
            ) from None

    def get(self, key: str) -> Any:
        """Return a remembered value, or None."""
        with self._lock:
            return self._read().get(key)

    def put(self, **values: object) -> None:
        """Remember values."""
        with self._lock:
            write_private(self._path, json.dumps({**self._read(), **values}, indent=2, sort_keys=True) + "\n")

    def port(self, name: str, *, preferred: int | None = None) -> int:
        """Return the port of a server that is about to start: the remembered one while it is free, else a new one.

        Call it only when that server is known not to run, otherwise its own port looks taken.
        """
        with self._lock:
            known: dict[str, int] = dict(self.get("ports") or {})
            others = {port for other, port in known.items() if other != name}
            remembered = known.get(name)
            port = ports.choose(preferred=remembered or preferred, taken=others)
            if port != remembered:
                self.put(ports={**known, name: port})
            return port

    def known_port(self, name: str) -> int | None:
        """Return the remembered port of a server that may be running."""
        return dict(self.get("ports") or {}).get(name)


class Secrets:
    """Passwords and keys of one stack, made once, in a file only its owner reads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()

    def password(self, name: str) -> str:
        """Return a password of 43 letters, digits, `-` and `_`; made when first asked for."""
        return self._keep(name, lambda: secrets.token_urlsafe(32))

    def key(self, name: str) -> str:
        """Return 32 random bytes as urlsafe base64 with padding; made when first asked for."""
        return self._keep(name, lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())

    def _keep(self, name: str, make: Callable[[], str]) -> str:
        with self._lock:
            values = dict(_pairs(self._path.read_text().splitlines())) if self._path.exists() else {}
            if name not in values:
                values[name] = make()
                write_private(self._path, "".join(f"{key}={value}\n" for key, value in sorted(values.items())))
            return values[name]


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner reads, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f"{path.name}.new")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
    scratch.replace(path)


def _pairs(lines: Iterable[str]) -> Generator[tuple[str, str]]:
    for line in lines:
        name, sign, value = line.partition("=")
        if sign:
            yield name, value
