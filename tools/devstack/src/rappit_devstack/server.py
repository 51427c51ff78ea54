"""What the private servers have in common: a folder, a process, a port, and being provably ours."""

import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rappit_devstack import processes
from rappit_devstack.binaries import Programs
from rappit_devstack.errors import DevstackError
from rappit_devstack.processes import ProcessRecord
from rappit_devstack.state import Secrets, State

START_ATTEMPTS = 3


@dataclass(frozen=True)
class Place:
    """Where one set of servers lives and what it remembers."""

    folder: Path
    state: State
    secrets: Secrets
    durable: bool
    """False for tests: no fsync, so that a power cut may lose data and everything is quicker."""


class PrivateServer(ABC):
    """A server process of our own, below a folder of our own."""

    name: str
    stop_signal = signal.SIGTERM
    stop_timeout_s = 20.0
    start_timeout_s = 60.0

    def __init__(self, place: Place, programs: Programs) -> None:
        self.place = place
        self.programs = programs
        self.folder = place.folder / self.name
        self.log = place.folder / "logs" / f"{self.name}.log"
        self._record = self.folder / "process.json"

    @abstractmethod
    def url(self) -> str:
        """The administrator's URL."""

    @abstractmethod
    def prepare(self) -> list[str]:
        """Write what the server reads, on ports that are free now, and return its command."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it serves, and is the server of this very folder and no other."""

    def before_start(self) -> None:  # noqa: B027 - most servers need nothing
        """Clear what a killed predecessor left behind."""

    def after_stop(self) -> None:  # noqa: B027 - most servers need nothing
        """End what belongs to the server but is not its process."""

    def environment(self) -> dict[str, str]:
        """The server's whole environment."""
        return {**base_environment(), **self.programs.environment()}

    def port(self, name: str) -> int:
        """The remembered port.

        Raises:
            DevstackError: It never started.
        """
        port = self.place.state.known_port(name)
        if port is None:
            raise DevstackError(f"{self.name} below {self.folder} has never been started.")
        return port

    def process(self) -> ProcessRecord | None:
        """Its process, when it runs."""
        process = ProcessRecord.load(self._record)
        return process if process is not None and process.alive() else None

    def start(self) -> float:
        """Start it unless it runs; return the seconds it took until it served.

        Raises:
            DevstackError: It does not come up; the end of its log is in the message.
        """
        begun = time.monotonic()
        for attempt in range(1, START_ATTEMPTS + 1):
            process = self.process()
            if process is None:
                self.folder.mkdir(parents=True, exist_ok=True)
                self.after_stop()
                self.before_start()
                argv = self.prepare()
                process = processes.spawn(
                    argv, log=self.log, record=self._record, env=self.environment(), cwd=self.folder
                )
            watched = process
            processes.wait_until(
                lambda p=watched: self.is_ready() or not p.alive(), timeout_s=self.start_timeout_s, poll_s=0.05
            )
            if watched.alive() and self.is_ready():
                return time.monotonic() - begun
            # Died: another program may have taken a port between our look and its start, so look again.
            if watched.alive() or attempt == START_ATTEMPTS:
                break
        self.kill()
        raise DevstackError(f"{self.name} did not come up; its log is {self.log} and ends:\n{processes.tail(self.log)}")

    def stop(self) -> None:
        """Stop it in good order."""
        process = self.process()
        if process is not None:
            processes.stop(process, first=self.stop_signal, timeout_s=self.stop_timeout_s)
        self.after_stop()

    def kill(self) -> None:
        """Take it away at once, as a crash would (SIGKILL)."""
        process = self.process()
        if process is not None:
            processes.kill(process)
        self.after_stop()


def base_environment() -> Mapping[str, str]:
    """The few variables of ours that a server should see."""
    kept = ("PATH", "TMPDIR", "TZ")
    return {"LANG": "C.UTF-8", **{name: os.environ[name] for name in kept if name in os.environ}}
