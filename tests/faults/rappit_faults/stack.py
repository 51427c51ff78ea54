"""The playground: every service as a process on servers of its own, with a proxy on each link, all of it breakable."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import aio_pika
import asyncpg
import httpx
from rappit_demo.client import Client
from rappit_devstack import catalogue, ports
from rappit_devstack.catalogue import ProcessSpec, World
from rappit_devstack.ports import LOOPBACK
from rappit_devstack.rabbitmq import management_request
from rappit_devstack.servers import Servers
from rappit_devstack.stack import Stack
from rappit_devstack.state import State

from rappit_faults import killpoints, process
from rappit_faults.killpoints import ARMED, FIRED
from rappit_faults.proxy import Link
from rappit_faults.seeded_bugs import BUGS

SERVERS = ("postgres", "rabbitmq", "redis")
SERVICES = tuple(process.MODULES)
SCHEMAS = ("identity", "gateway", "orders", "inventory", "shipping")
QUERY_TIMEOUT_S = 60
READY_TIMEOUT_S = 120
SETTINGS = {
    # Shorter than in production, so that a run ends; none of them decides what is right.
    "RETRY_DELAYS_S": "0.5,1",
    "SHUTDOWN_TIMEOUT_S": "4",
    # A purchase is looked up no sooner than twice as long as its carrier may take.
    "CARRIER_TOTAL_TIMEOUT_S": "2",
    "PURCHASE_STALE_S": "5",
    "RECONCILE_POLL_S": "0.5",
    "RECONCILE_DELAYS_S": "1,2,3,5,8",
    "BREAKER_OPEN_S": "2",
}
"""What every service is told besides."""

Say = Callable[[str], None]


class Playground:
    """A stack that may be broken.

    Args:
        folder: Holds everything; one playground a folder.
        say: Told about progress.
    """

    def __init__(self, folder: Path, say: Say = lambda _line: None) -> None:
        self.folder = folder.resolve()
        self._say = say
        self.links = {(service, server): Link(f"{service}-{server}") for service in SERVICES for server in SERVERS}
        self._servers = Servers(self.folder / "servers", durable=False, environment={}, say=say)
        self.stack: Stack
        self.operator: Client

    async def open(self) -> None:
        """Start all of it and wait until everything can work."""
        for name in (ARMED, FIRED, BUGS):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        # Processes even where Docker answers: what is to be killed must be ours to kill.
        State(self.folder / "servers" / "stack.json").put(way="private")
        for link in self.links.values():
            await link.listen(LOOPBACK, ports.choose(taken={other.port for other in self.links.values()}))
        urls = await asyncio.to_thread(self._servers.start)
        for (_, server), link in self.links.items():
            where = urlsplit(getattr(urls, server))
            link.lead_to(str(where.hostname), int(where.port or 0))
        table = [self._wrapped(spec) for spec in catalogue.CATALOGUE]
        self.stack = Stack(
            self.folder / "stack", urls=urls, table=table, durable=False, settings=SETTINGS, say=self._say
        )
        # Its migrations and services come through our proxies, so this loop has to go on meanwhile.
        await asyncio.to_thread(self.stack.up)
        self.operator = await Client.sign_in(
            self.stack.ingress_url, self.stack.operator_email, self.stack.operator_password
        )

    async def close(self) -> None:
        """Take everything away; the folder with the logs stays."""
        if hasattr(self, "operator"):
            await self.operator.http.aclose()
        for link in self.links.values():
            link.heal()
        if hasattr(self, "stack"):
            await asyncio.to_thread(self.stack._supervisor.stop)
        await asyncio.to_thread(self._servers.kill)
        for link in self.links.values():
            await link.close()

    def _wrapped(self, spec: ProcessSpec) -> ProcessSpec:
        if spec.name not in process.MODULES:
            return spec

        def variables(world: World) -> dict[str, str]:
            return {
                **spec.variables(world),
                process.FOLDER: str(self.folder),
                "PYTHONPATH": str(Path(__file__).parents[1]),
                "DATABASE_URL": self._through(spec.name, "postgres", world.database_url(f"rappit_{spec.schema}")),
                "RABBITMQ_URL": self._through(spec.name, "rabbitmq", world.rabbitmq_url),
                "REDIS_URL": self._through(spec.name, "redis", world.redis_url),
            }

        return replace(spec, command=("python", "-m", "rappit_faults.process", spec.name, "serve"), variables=variables)

    def _through(self, service: str, server: str, url: str) -> str:
        parts = urlsplit(url)
        login = parts.netloc.rpartition("@")[0]
        return urlunsplit(parts._replace(netloc=f"{login}@{LOOPBACK}:{self.links[service, server].port}"))

    # To break things.

    async def kill_service(self, name: str) -> None:
        """SIGKILL a service; the supervisor starts it again."""
        # It may just be starting after another death, and is killed as soon as it runs.
        for _ in range(100):
            if self.stack.statuses()[name].pid:
                break
            await asyncio.sleep(0.1)
        await asyncio.to_thread(self.stack.kill, name)

    async def kill_server(self, name: str) -> None:
        """SIGKILL a server."""
        await asyncio.to_thread(self._servers.private(name).kill)

    async def start_server(self, name: str) -> None:
        """Start a killed server again and wait until it serves; on another port, should its own be taken."""
        server = self._servers.private(name)
        await asyncio.to_thread(server.start)
        where = urlsplit(server.url())
        for (_, of), link in self.links.items():
            if of == name:
                link.lead_to(str(where.hostname), int(where.port or 0))

    def arm(self, service: str, point: str, let_by: int = 0) -> None:
        """Let a service die at a point, after so many passages."""
        killpoints.arm(self.folder, service, point, let_by)

    def disarm_all(self) -> list[str]:
        """Take back what was armed and not reached, and return it."""
        left = sorted((self.folder / ARMED).iterdir())
        for path in left:
            path.unlink(missing_ok=True)
        return [path.name for path in left]

    def fired(self) -> list[str]:
        """Return every death at a kill point so far, as ``<service>.<point>``."""
        return sorted(path.name.rpartition(".")[0] for path in (self.folder / FIRED).iterdir())

    @contextlib.contextmanager
    def bug(self, *services: str, name: str) -> Any:
        """Switch a seeded bug on in some services while the block runs."""
        files = [self.folder / BUGS / f"{service}.{name}" for service in services]
        for file in files:
            file.touch()
        try:
            yield
        finally:
            for file in files:
                file.unlink()

    async def wait_ready(self, *names: str) -> None:
        """Wait until processes can work, all when none is named."""
        chosen = names or tuple(spec.name for spec in catalogue.CATALOGUE)
        await asyncio.to_thread(partial(self.stack.wait_ready, *chosen, timeout_s=READY_TIMEOUT_S))

    # To look at things, past the proxies.

    @contextlib.asynccontextmanager
    async def snapshot(self) -> AsyncIterator[asyncpg.Connection]:
        """Have one moment of the whole database, every schema and every tenant."""
        connection = await asyncpg.connect(
            self.stack.premises.admin_database_url, timeout=5, command_timeout=QUERY_TIMEOUT_S
        )
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                yield connection
        finally:
            await connection.close(timeout=5)

    async def execute(self, statement: str) -> None:
        """Change something by hand, as no service would."""
        connection = await asyncpg.connect(self.stack.premises.admin_database_url, timeout=5)
        try:
            await connection.execute(statement)
        finally:
            await connection.close(timeout=5)

    async def queues(self) -> dict[str, int]:
        """Return how many messages each queue holds, those in consumers' hands with them."""
        vhost = quote(self.stack.premises.name, safe="")
        url = self.stack.urls.rabbitmq_management
        found: Sequence[dict[str, Any]] = await asyncio.to_thread(
            management_request, "GET", url, f"/api/queues/{vhost}"
        )
        return {queue["name"]: int(queue.get("messages", 0)) for queue in found}

    async def broker(self) -> aio_pika.abc.AbstractConnection:
        """Return a new connection to the broker, for messages that no service would send."""
        return await aio_pika.connect(self.stack.premises.rabbitmq_url, timeout=5)

    def carriers(self) -> httpx.AsyncClient:
        """Return a client of the carriers' double, which knows what it sold."""
        return httpx.AsyncClient(base_url=self.stack.carrier_double_url, timeout=30)
