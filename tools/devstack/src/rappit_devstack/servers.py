"""PostgreSQL, RabbitMQ and Redis for one stack, had in the first way that works.

The order of preference: URLs in the environment, Docker Compose, programs on the machine, Debian packages extracted
below the project. The ways may be mixed per server.
"""

import contextlib
import os
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rappit_devstack import binaries, compose, state
from rappit_devstack.errors import DevstackError
from rappit_devstack.postgres import Postgres
from rappit_devstack.rabbitmq import RabbitMQ
from rappit_devstack.redis_server import Redis
from rappit_devstack.server import Place, PrivateServer
from rappit_devstack.state import Secrets, State

VARIABLES: Mapping[str, str] = {
    "postgres": "RAPPIT_POSTGRES_URL",
    "rabbitmq": "RAPPIT_RABBITMQ_URL",
    "rabbitmq_management": "RAPPIT_RABBITMQ_MANAGEMENT_URL",
    "redis": "RAPPIT_REDIS_URL",
}
CLASSES: Mapping[str, type[PrivateServer]] = {"postgres": Postgres, "rabbitmq": RabbitMQ, "redis": Redis}
Say = Callable[[str], None]


@dataclass(frozen=True)
class ServerUrls:
    """The administrators' URLs of the three servers."""

    postgres: str
    rabbitmq: str
    rabbitmq_management: str
    redis: str

    def environment(self) -> dict[str, str]:
        """Return them as the variables that the tests read."""
        return {variable: str(getattr(self, name)) for name, variable in VARIABLES.items()}


def from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the servers whose URLs are given.

    Raises:
        DevstackError: RabbitMQ is given without its management API, which makes virtual hosts and reads queues.
    """
    given = {name: environment[variable] for name, variable in VARIABLES.items() if environment.get(variable)}
    if ("rabbitmq" in given) != ("rabbitmq_management" in given):
        raise DevstackError(
            "RAPPIT_RABBITMQ_URL and RAPPIT_RABBITMQ_MANAGEMENT_URL go together: set both (amqp://user:password@host/ "
            "and http://user:password@host:15672) or neither."
        )
    return given


class Servers:
    """One set of servers in one folder."""

    def __init__(
        self, folder: Path, *, durable: bool = True, environment: Mapping[str, str] | None = None, say: Say = print
    ) -> None:
        """Describe them; nothing is started.

        Args:
            folder: Holds their data, logs, ports and passwords.
            durable: False turns fsync off, for tests.
            environment: Where URLs are looked for first; the process's own by default, {} for none.
            say: Told about progress.
        """
        self.folder = folder
        self._say = say
        self._place = Place(folder, State(folder / "stack.json"), Secrets(folder / "secrets.env"), durable)
        self.given = from_environment(os.environ if environment is None else environment)
        self._private: dict[str, PrivateServer] = {}
        self._compose = compose.Project(folder, self._place.state, self._place.secrets)

    def start(self) -> ServerUrls:
        """Start what is not running and return every URL.

        Raises:
            DevstackError: A server cannot be had or does not come up.
        """
        for name in CLASSES:
            if name in self.given:
                self._say(f"{binaries.KINDS[name].title}: the one of {VARIABLES[name]}")
        wanted = [name for name in CLASSES if name not in self.given]
        with state.locked(self.folder / ".servers.lock"):
            urls = dict(self.given)
            if wanted:
                urls.update(self._start_compose(wanted) or self._start_private(wanted))
        return ServerUrls(**urls)

    def private(self, name: str) -> PrivateServer:
        """Return a server that this tool runs as a process, to kill it and start it again.

        Args:
            name: "postgres", "rabbitmq" or "redis".

        Raises:
            DevstackError: That server is not ours to touch.
        """
        if name not in self._private:
            raise DevstackError(f"{name} of {self.folder} is not a process of this tool.")
        return self._private[name]

    def pid(self, name: str) -> int | None:
        """Return the process of a server that runs as one of ours."""
        server = self._private.get(name) or self._leftover(name)
        process = server.process() if server else None
        return process.pid if process else None

    def stop(self) -> None:
        """Stop what is running, in good order; data stays."""
        if self._compose.remembered:
            self._compose.stop()
        self._each_private(lambda server: server.stop())

    def kill(self) -> None:
        """Take everything away at once, as a test run does at its end; data stays."""
        if self._compose.remembered:
            self._compose.stop()
        self._each_private(lambda server: server.kill())

    def remove(self) -> None:
        """Take everything away, containers with their data; the folder itself is the caller's."""
        if self._compose.remembered:
            self._compose.remove()
        self._each_private(lambda server: server.kill())

    def _each_private(self, act: Callable[[PrivateServer], None]) -> None:
        with state.locked(self.folder / ".servers.lock"), ThreadPoolExecutor(len(CLASSES)) as pool:
            # Not only those this object started: another command may have.
            found = [self._private.get(name) or self._leftover(name) for name in CLASSES]
            list(pool.map(act, [server for server in found if server is not None]))

    def _leftover(self, name: str) -> PrivateServer | None:
        if not (self.folder / name).exists():
            return None
        # A server can be stopped even when its programs have been removed meanwhile.
        programs = binaries.locate(name) or binaries.Programs(binaries.SYSTEM, {})
        return CLASSES[name](self._place, programs)

    def _start_compose(self, wanted: list[str]) -> dict[str, str] | None:
        # Compose brings up all three or none, and a stack stays with the way its data was made.
        if len(wanted) < len(CLASSES) or self._place.state.get("way") == "private":
            return None
        return self._compose.up(self._say) if compose.available() else None

    def _start_private(self, wanted: list[str]) -> dict[str, str]:
        if self._compose.remembered:
            raise DevstackError(
                f"The data of the stack {self.folder.name} is in Docker volumes, but Docker does not bring it up: "
                "start Docker, or begin again without it: make clean."
            )
        if "rabbitmq" in wanted and any(letter.isspace() for letter in f"{self.folder}{binaries.cache()}"):
            raise DevstackError(
                f"RabbitMQ's own scripts cannot run below a path that holds blanks ({self.folder}): "
                "move the clone to a path without them, or use Docker or RAPPIT_RABBITMQ_URL."
            )
        programs = binaries.ensure(*wanted, say=self._say)
        self._place.state.put(way="private")
        self._private = {name: CLASSES[name](self._place, programs[name]) for name in wanted}

        def start(server: PrivateServer) -> None:
            running = server.process() is not None
            took_s = server.start()
            title = binaries.KINDS[server.name].title
            self._say(f"{title}: {'already running' if running else f'ready after {took_s:.1f} s'}")

        with ThreadPoolExecutor(len(CLASSES)) as pool:
            list(pool.map(start, self._private.values()))
        urls = {name: server.url() for name, server in self._private.items()}
        broker = self._private.get("rabbitmq")
        if isinstance(broker, RabbitMQ):
            urls["rabbitmq_management"] = broker.management_url()
        return urls


@contextlib.contextmanager
def running(folder: Path, *, durable: bool = False, say: Say = lambda _line: None) -> Generator[ServerUrls]:
    """Have servers while the block runs; private ones are killed and their data is left in the folder.

    Args:
        folder: Holds their data; one set of servers a folder.
        durable: True keeps fsync on.
        say: Told about progress.

    Raises:
        DevstackError: A server cannot be had.
    """
    servers = Servers(folder, durable=durable, say=say)
    try:
        yield servers.start()
    finally:
        servers.kill()
