"""A whole stack: servers, migrated schemas, services, doubles and the ingress, in one folder."""

import contextlib
import os
import secrets as random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from rappit_devstack import binaries, catalogue, ingress, premises, state
from rappit_devstack.catalogue import CARRIERS, CATALOGUE, CHANNELS, INGRESS, ProcessSpec, World
from rappit_devstack.errors import DevstackError
from rappit_devstack.ports import LOOPBACK
from rappit_devstack.premises import Premises
from rappit_devstack.processes import tail
from rappit_devstack.readiness import http_client, http_probe, wait_ready
from rappit_devstack.server import base_environment
from rappit_devstack.servers import Servers, ServerUrls
from rappit_devstack.state import Secrets, State
from rappit_devstack.supervisor import EXIT_CONFIGURATION, Program, Status, Supervisor

READY_TIMEOUT_S = 90.0
MIGRATE_TIMEOUT_S = 120
MIGRATIONS_AT_ONCE = 3
OPERATOR_EMAIL = "operator@rappit.example"


@dataclass(frozen=True)
class Process:
    """One process of a running stack; pid is 0 while it does not run."""

    name: str
    url: str
    environment: Mapping[str, str]
    pid: int
    log: Path


class Stack:
    """One stack in one folder, started, stopped and asked from any process.

    Args:
        folder: Holds everything of the stack.
        urls: Servers to use instead of the stack's own; the stack then gets a database, a virtual host and a Redis
            database of its own on them.
        table: What runs.
        durable: False for tests: its own servers do not fsync.
        ingress_port: Preferred for the ingress, where it is free.
        settings: Variables that every service is told besides, for example shorter retry delays.
        say: Told about progress.
    """

    def __init__(
        self,
        folder: Path,
        *,
        urls: ServerUrls | None = None,
        table: Sequence[ProcessSpec] = CATALOGUE,
        durable: bool = True,
        ingress_port: int | None = None,
        settings: Mapping[str, str] = MappingProxyType({}),
        say: Callable[[str], None] = print,
    ) -> None:
        self.folder = folder
        self._urls = urls
        self._table = tuple(table)
        self._durable = durable
        self._ingress_port = ingress_port
        self._settings = dict(settings)
        self._say = say
        self._state = State(folder / "stack.json")
        self._secrets = Secrets(folder / "secrets.env")
        self.servers = Servers(folder, durable=durable, say=say)
        self._supervisor = Supervisor(folder, self._state, self._secrets)

    # What callers ask for.

    @property
    def ingress_url(self) -> str:
        """The one public address."""
        return f"http://{LOOPBACK}:{self._port(INGRESS)}"

    @property
    def carrier_double_url(self) -> str:
        """The carriers' double."""
        return f"http://{LOOPBACK}:{self._port(CARRIERS)}"

    @property
    def channel_double_url(self) -> str:
        """The channels' double."""
        return f"http://{LOOPBACK}:{self._port(CHANNELS)}"

    @property
    def operator_email(self) -> str:
        """Who may operate this stack."""
        return OPERATOR_EMAIL

    @property
    def operator_password(self) -> str:
        """The operator's password."""
        return self._secrets.password("OPERATOR_PASSWORD")

    @property
    def urls(self) -> ServerUrls:
        """The administrators' URLs of the servers; the stack has been started."""
        return self._urls or ServerUrls(**self._state.get("servers"))

    @property
    def premises(self) -> Premises:
        """Where this stack's data is; the stack has been started."""
        return Premises(
            urls=self.urls,
            name=str(self._state.get("name")),
            mark=premises.mark_of(self.folder),
            broker_password=self._secrets.password("BROKER_PASSWORD"),
            redis_database=int(self._state.get("redis_database")),
        )

    def service(self, name: str) -> Process:
        """Return a process: its address, environment and pid.

        Raises:
            DevstackError: No such process.
        """
        spec = next((spec for spec in self._table if spec.name == name), None)
        if spec is None:
            raise DevstackError(f"There is no process {name}: it is one of {', '.join(s.name for s in self._table)}.")
        status = self._supervisor.statuses().get(name)
        world = self._world()
        return Process(
            name, world.address(name), spec.environment(world), status.pid if status else 0, self._supervisor.log(name)
        )

    def statuses(self) -> dict[str, Status]:
        """Return the state of every supervised process; nothing when the stack is down."""
        return self._supervisor.statuses()

    def log(self, name: str) -> Path:
        """The log of a process or a server."""
        return self._supervisor.log(name)

    def kill(self, name: str) -> int:
        """SIGKILL a process, which is then restarted by the supervisor; return the pid it had."""
        return self._supervisor.kill(name)

    def halt(self, name: str) -> None:
        """Stop a process in good order and leave it stopped until `restart`."""
        self._supervisor.halt(name)

    def restart(self, *names: str) -> None:
        """Restart processes and wait until they are ready; when none is named, all of them, after migrating again."""
        with state.locked(self.folder / ".lock"):
            if names:
                for name in names:
                    self._supervisor.restart(name)
            else:
                self._start_processes()
            self.wait_ready(*names)

    def wait_ready(self, *names: str, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until processes can work (all of them when none is named).

        Raises:
            DevstackError: One cannot start, or the time is over.
        """
        world = self._world()
        with http_client() as client:
            probes = {spec.name: http_probe(client, world.address(spec.name) + spec.ready_path) for spec in self._table}
            if self._has_ingress():
                # Never routed: this answer is the ingress's own.
                probes[INGRESS] = http_probe(client, f"{self.ingress_url}/health/ready", expected=404)
            chosen = {name: probe for name, probe in probes.items() if not names or name in names}
            wait_ready(self._supervisor, chosen, timeout_s=timeout_s, say=self._say)

    # Up and down.

    def up(self) -> None:
        """Start whatever does not run, and wait until everything can work.

        Raises:
            DevstackError: With a sentence that says what to do.
        """
        with state.locked(self.folder / ".lock"):
            # First of all, so that `clean` knows the folder for a stack's, however far this comes.
            self._state.put(folder=str(self.folder))
            self._require_programs()
            urls = self._urls or self.servers.start()
            self._state.put(servers=vars(urls))
            self._choose_premises(urls)
            if self._supervisor.process() is not None and self._supervisor.runs(self._programs()):
                self._supervisor.start_stopped()
                self._say("services: already running")
            else:
                self._start_processes()
            self.wait_ready()

    def down(self) -> None:
        """Stop services first, servers after them. Data stays."""
        with state.locked(self.folder / ".lock"):
            self._supervisor.stop()
            if self._urls is None:
                self.servers.stop()

    def destroy(self) -> None:
        """Stop the stack and remove all its data and its folder.

        Raises:
            DevstackError: The folder is not a stack's.
        """
        if not self.folder.exists():
            return
        if self.folder.is_symlink() or not (self.folder / "stack.json").exists():
            raise DevstackError(f"{self.folder} is not a stack's folder, so it stays.")
        with state.locked(self.folder / ".lock"):
            self._supervisor.stop()
            if self._state.get("shared"):
                self.premises.demolish()
            self.servers.remove()
        shutil.rmtree(self.folder)

    def _start_processes(self) -> None:
        self._supervisor.stop()
        for spec in self._table:
            self._state.port(spec.name)
        if self._has_ingress():
            self._state.port(INGRESS, preferred=self._ingress_port)
            self._write_ingress()
        self.premises.furnish()
        self._migrate()
        self._say(f"starting {', '.join(program.name for program in self._programs())}")
        self._supervisor.start(self._programs())

    def _has_ingress(self) -> bool:
        return {spec.name for spec in catalogue.SERVICES} <= {spec.name for spec in self._table}

    def _require_programs(self) -> None:
        missing = sorted({spec.program for spec in self._table if not _script(spec.program).exists()})
        if missing:
            raise DevstackError(f"{', '.join(missing)} is not installed beside {sys.executable}: run `make bootstrap`.")
        if self._has_ingress():
            binaries.ensure("nginx", say=self._say)

    def _choose_premises(self, urls: ServerUrls) -> None:
        if self._state.get("name") is not None:
            return
        # Any server that somebody gave us may hold other stacks.
        shared = self._urls is not None or bool(self.servers.given)
        number = premises.choose_redis_database(urls.redis) if shared else 0
        self._state.put(name=premises.fresh_name() if shared else "rappit", shared=shared, redis_database=number)

    def _port(self, name: str) -> int:
        port = self._state.known_port(name)
        if port is None:
            raise DevstackError(f"The stack {self.folder.name} has never been started: run `make up`.")
        return port

    def _role_password(self, role: str) -> str:
        # Roles belong to the whole server. Test stacks share theirs with rappit_common.testing's sandboxes, and all who
        # set a role's password at the same time must set the same one.
        if self._state.get("shared") and not self._durable:
            return f"{role}-test"
        return self._secrets.password(f"DATABASE_{role.upper()}")

    def _world(self) -> World:
        rooms = self.premises
        return World(
            database_url=lambda role: rooms.database_url(role, self._role_password(role)),
            admin_database_url=rooms.admin_database_url,
            rabbitmq_url=rooms.rabbitmq_url,
            redis_url=rooms.redis_url,
            ingress_url=self.ingress_url if self._has_ingress() else "",
            port=self._port,
            secrets=self._secrets,
            settings=self._settings,
        )

    def _programs(self) -> list[Program]:
        world = self._world()
        programs: list[Program] = []
        for spec in self._table:
            words = [word.format(host=LOOPBACK, port=self._port(spec.name)) for word in spec.command[1:]]
            programs.append(Program(spec.name, [str(_script(spec.program)), *words], spec.environment(world)))
        if self._has_ingress():
            nginx = binaries.ensure("nginx", say=self._say)["nginx"]
            config = self.folder / "ingress" / "nginx.conf"
            # As root its workers would become nobody, who cannot enter a folder of root's.
            directives = "daemon off; user root;" if os.geteuid() == 0 else "daemon off;"
            argv = [nginx["nginx"], "-e", "stderr", "-p", str(config.parent), "-c", str(config), "-g", directives]
            # QUIT: requests under way are answered first.
            programs.append(Program(INGRESS, argv, nginx.environment(), stop_signal="QUIT"))
        return programs

    def _write_ingress(self) -> None:
        world = self._world()
        folder = self.folder / "ingress"
        values = {
            "INGRESS_LISTEN": f"{LOOPBACK}:{self._port(INGRESS)}",
            "INGRESS_FOLDER": str(folder),
            "INGRESS_ACCESS_LOG": "/dev/stdout",
            "INGRESS_ERROR_LOG": "/dev/stderr",
            **catalogue.upstreams(world),
        }
        ingress.write(folder, values)

    def _migrate(self) -> None:
        world = self._world()

        def migrate(spec: ProcessSpec) -> None:
            begun = time.monotonic()
            self._run_once(spec, ("provision", "migrate"), spec.migration_environment(world))
            self._say(f"{spec.name}: schema {spec.schema} migrated after {time.monotonic() - begun:.1f} s")

        with_schema = [spec for spec in self._table if spec.schema]
        with ThreadPoolExecutor(MIGRATIONS_AT_ONCE) as pool:
            list(pool.map(migrate, with_schema))
        for spec in with_schema:
            if spec.name == catalogue.IDENTITY:
                operator = {"OPERATOR_EMAIL": self.operator_email, "OPERATOR_PASSWORD": self.operator_password}
                self._run_once(spec, ("create-operator",), {**spec.environment(world), **operator})

    def _run_once(self, spec: ProcessSpec, words: Sequence[str], environment: Mapping[str, str]) -> None:
        log = self._supervisor.log(f"{spec.name}-{words[-1]}")
        log.parent.mkdir(parents=True, exist_ok=True)
        argv = spec.once(*words)
        command = " ".join(argv)
        with log.open("wb") as output:
            try:
                result = subprocess.run(
                    [str(_script(spec.program)), *argv[1:]],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**base_environment(), **environment},
                    cwd=self.folder,
                    timeout=MIGRATE_TIMEOUT_S,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                raise DevstackError(
                    f"`{command}` took longer than {MIGRATE_TIMEOUT_S} s; its log is {log} and ends:\n{tail(log)}"
                ) from None
        if result.returncode == EXIT_CONFIGURATION:
            raise DevstackError(f"`{command}` lacks a setting:\n{tail(log)}")
        if result.returncode != 0:
            raise DevstackError(
                f"`{command}` failed with status {result.returncode}; its log is {log} and ends:\n{tail(log)}"
            )


def _script(program: str) -> Path:
    """Return where the virtual environment keeps a program."""
    return Path(sys.executable).parent / program


@contextlib.contextmanager
def running(
    folder: Path,
    urls: ServerUrls,
    *,
    table: Sequence[ProcessSpec] = CATALOGUE,
    settings: Mapping[str, str] = MappingProxyType({}),
    say: Callable[[str], None] = lambda _line: None,
) -> Generator[Stack]:
    """Have a stack of its own while the block runs, for tests: a new database and virtual host on given servers.

    Args:
        folder: Below it a new folder is made, so that one folder serves many stacks.
        urls: The servers, for example of `servers.running` or of the environment.
        table: What runs.
        settings: Variables that every service is told besides.
        say: Told about progress.
    """
    name = f"stack-{random.token_hex(4)}"
    stack = Stack(folder / name, urls=urls, table=table, durable=False, settings=settings, say=say)
    try:
        stack.up()
        yield stack
    finally:
        stack.destroy()
