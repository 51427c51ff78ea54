"""Long-running processes that outlive the command which started them.

A process is remembered by its pid together with the moment it started and the machine's boot id, because
pids are reused: a stale record must never make us signal somebody else's process.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rappit_devstack.errors import DevstackError

POLL_S = 0.02
LOG_LIMIT_BYTES = 10_000_000
# Children of this very process stay zombies until they are waited for.
_children: set[int] = set()


@dataclass(frozen=True)
class ProcessRecord:
    """Identifies one process for ever, not only while its pid is its own."""

    pid: int
    started_ticks: int
    boot_id: str

    @classmethod
    def of(cls, pid: int) -> "ProcessRecord":
        """Describe a running process.

        Raises:
            ProcessLookupError: No such process, or it is a zombie.
        """
        state, started = _stat(pid)
        if state in "ZX":
            raise ProcessLookupError(pid)
        return cls(pid, started, _boot_id())

    @classmethod
    def load(cls, path: Path) -> "ProcessRecord | None":
        """Read a record that `save` wrote; None where there is none or it is damaged."""
        try:
            fields = json.loads(path.read_text())
            return cls(int(fields["pid"]), int(fields["started_ticks"]), str(fields["boot_id"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def save(self, path: Path) -> None:
        """Write the record whole or not at all."""
        scratch = path.with_suffix(".new")
        scratch.write_text(json.dumps(asdict(self)))
        scratch.replace(path)

    def alive(self) -> bool:
        """Whether this very process still runs."""
        if self.pid in _children:
            try:
                if os.waitpid(self.pid, os.WNOHANG)[0] == self.pid:
                    _children.discard(self.pid)
            except ChildProcessError:
                _children.discard(self.pid)
        try:
            return ProcessRecord.of(self.pid) == self
        except ProcessLookupError:
            return False


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _stat(pid: int) -> tuple[str, int]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError as error:
        raise ProcessLookupError(pid) from error
    # The command's name stands in parentheses and may hold anything, so count from its end.
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[19])


def wait_until(condition: Callable[[], bool], *, timeout_s: float, poll_s: float = POLL_S) -> bool:
    """Wait for a condition; False when the time is over."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(poll_s)
    return True


def spawn(argv: Sequence[str], *, log: Path, record: Path, env: Mapping[str, str], cwd: Path) -> ProcessRecord:
    """Start a process in a session of its own, so that a Ctrl-C meant for us does not reach it.

    Args:
        argv: The program and its arguments.
        log: Receives stdout and stderr; begun afresh when it has grown past 10 MB.
        record: Where the process is remembered.
        env: The whole environment.
        cwd: The folder it runs in.

    Raises:
        DevstackError: The program cannot be started.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    fresh = log.exists() and log.stat().st_size > LOG_LIMIT_BYTES
    with log.open("wb" if fresh else "ab") as output:
        try:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(env),
                cwd=cwd,
                start_new_session=True,
            )
        except OSError as error:
            raise DevstackError(f"{argv[0]} could not be started: {error.strerror or error}.") from error
    _children.add(child.pid)
    # It outlives us on purpose; a Popen that still waits for it would warn when it is collected.
    child.returncode = 0
    try:
        started = ProcessRecord.of(child.pid)
    except ProcessLookupError:
        raise DevstackError(f"{argv[0]} ended at once; its log is {log}.\n{tail(log)}") from None
    started.save(record)
    return started


def stop(process: ProcessRecord, *, first: signal.Signals = signal.SIGTERM, timeout_s: float = 15.0) -> bool:
    """End a process: politely, then by force after the time is over.

    Returns:
        Whether it ended by itself after the polite signal.
    """
    if not process.alive():
        return True
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, first)
    if wait_until(lambda: not process.alive(), timeout_s=timeout_s):
        return True
    kill(process)
    return False


def kill(process: ProcessRecord) -> None:
    """SIGKILL a process and, where it leads one, its whole group; wait until it is gone (at most 10 s)."""
    if not process.alive():
        return
    with contextlib.suppress(ProcessLookupError):
        if os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            os.kill(process.pid, signal.SIGKILL)
    if not wait_until(lambda: not process.alive(), timeout_s=10):
        raise DevstackError(
            f"Process {process.pid} does not end even on SIGKILL: look at it with `ps -fp {process.pid}`."
        )


def marked(name: str, value: str) -> Iterator[ProcessRecord]:
    """Find our processes whose environment holds name=value, whoever is their parent now."""
    wanted = f"{name}={value}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError, ProcessLookupError):
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                yield ProcessRecord.of(int(entry.name))


def working_in(folder: Path, *, command: str) -> Iterator[ProcessRecord]:
    """Find processes of a command's name whose working folder is this one.

    For programs such as nginx that write their title over their environment, where `marked` finds nothing.
    """
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ProcessLookupError):
                if (entry / "comm").read_text().strip() == command and (entry / "cwd").readlink() == folder:
                    yield ProcessRecord.of(int(entry.name))


def tail(log: Path, *, lines: int = 15) -> str:
    """Return the last lines of a log, indented, to be shown below an error."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - 16_384))
            text = stream.read().decode(errors="replace")
    except OSError:
        return "    (no log)"
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])
