"""A private PostgreSQL."""

import asyncio
import contextlib
import shutil
import signal
import subprocess
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import asyncpg

from rappit_devstack import processes, unprivileged
from rappit_devstack.errors import DevstackError
from rappit_devstack.ports import LOOPBACK
from rappit_devstack.processes import ProcessRecord, tail
from rappit_devstack.server import PrivateServer

T = TypeVar("T")
CONNECT_TIMEOUT_S = 5.0
MAX_CONNECTIONS = 400
NEEDED_FREE_BYTES = 200_000_000


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine from plain code, even where the caller's thread has an event loop already."""
    outcome: list[T] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            outcome.append(asyncio.run(coroutine))
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
            failure.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


async def connect(url: str) -> Any:
    """Open one connection."""
    open_connection: Any = asyncpg.connect  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return await open_connection(url, timeout=CONNECT_TIMEOUT_S, command_timeout=CONNECT_TIMEOUT_S)


async def _value(url: str, sql: str) -> object:
    connection = await connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close(timeout=CONNECT_TIMEOUT_S)


class Postgres(PrivateServer):
    """PostgreSQL on TCP only: a socket's path would be too long for a deep clone."""

    name = "postgres"
    # "Fast shutdown": clients are disconnected, the checkpoint is written.
    stop_signal = signal.SIGINT

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.folder / "data"

    def url(self) -> str:
        """The superuser's URL of the maintenance database."""
        password = quote(self.place.secrets.password("POSTGRES_PASSWORD"), safe="")
        return f"postgresql://postgres:{password}@{LOOPBACK}:{self.port(self.name)}/postgres"

    def before_start(self) -> None:
        """Remove the lock file of a killed server, whose pid may belong to another program by now."""
        lock = self.data / "postmaster.pid"
        if lock.exists():
            pid = lock.read_text().split("\n", 1)[0].strip()
            with contextlib.suppress(OSError):
                if str(self.data).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    raise DevstackError(
                        f"PostgreSQL process {pid} holds {self.data}, but was not started by this tool: end it first."
                    )
            lock.unlink()

    def after_stop(self) -> None:
        """Wait for the children of a killed server, which notice its end by themselves and hold memory till then."""

        def children() -> list[ProcessRecord]:
            return list(processes.working_in(self.data.resolve(), command="postgres"))

        if not processes.wait_until(lambda: not children(), timeout_s=5):
            for child in children():
                processes.kill(child)

    def prepare(self) -> list[str]:
        """Make the cluster when there is none, and return the server's command."""
        self._refuse_other_version()
        words = unprivileged.prefix(self.folder)
        if not (self.data / "PG_VERSION").exists():
            self._initialise(words)
        settings = {
            "listen_addresses": LOOPBACK,
            "port": self.place.state.port(self.name),
            "unix_socket_directories": "",
            "max_connections": MAX_CONNECTIONS,
            "shared_buffers": "128MB",
            "max_wal_size": "512MB",
            "jit": "off",
            "log_line_prefix": "%m [%p] %q%u@%d ",
        }
        if not self.place.durable:
            # Commits still reach the kernel before they are confirmed, so that killing the server loses nothing.
            settings |= {"fsync": "off", "full_page_writes": "off"}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [*words, self.programs["postgres"], "-D", str(self.data), *options]

    def is_ready(self) -> bool:
        """Whether the server that answers is the one of our data directory."""
        try:
            return Path(str(run(_value(self.url(), "SHOW data_directory")))) == self.data
        except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False

    def _refuse_other_version(self) -> None:
        version = self.data / "PG_VERSION"
        if not version.exists():
            return
        binary = subprocess.run(
            [self.programs["postgres"], "--version"],
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        made_by = version.read_text().strip()
        if f" {made_by}." not in binary and not binary.rstrip().endswith(f" {made_by}"):
            raise DevstackError(
                f"{self.data} was made by PostgreSQL {made_by}, but this machine now runs {binary.strip()}: "
                "install the former again, or remove the stack's data with `make clean`."
            )

    def _initialise(self, words: tuple[str, ...]) -> None:
        free = shutil.disk_usage(self.folder).free
        if free < NEEDED_FREE_BYTES:
            raise DevstackError(
                f"{self.folder} has only {free // 1_000_000} MB left; a database needs 200 MB: free some disk space."
            )
        # In a scratch folder first: an interrupted initdb leaves nothing that looks like a cluster.
        scratch, password = self.folder / "data.new", self.folder / "password"
        shutil.rmtree(scratch, ignore_errors=True)
        password.touch(mode=0o600)
        password.write_text(self.place.secrets.password("POSTGRES_PASSWORD"))
        words = unprivileged.prefix(self.folder) if words else words
        argv = [
            self.programs["initdb"],
            "-D",
            str(scratch),
            "-U",
            "postgres",
            "--auth=scram-sha-256",
            f"--pwfile={password}",
        ]
        argv += ["--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        result = subprocess.run(
            [*words, *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environment(),
            cwd=self.folder,
            check=False,
        )
        password.unlink()
        if result.returncode != 0:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            self.log.write_text(result.stdout)
            raise DevstackError(f"initdb could not make {scratch}:\n{tail(self.log)}")
        scratch.rename(self.data)
