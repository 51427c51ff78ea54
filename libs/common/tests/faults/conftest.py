"""A private PostgreSQL and RabbitMQ that may be killed, and the sample service as a real process on them."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr
from rappit_common.clock import new_id, utc_now
from rappit_common.testing.plugin import JWT_SECRET
from rappit_common.testing.servers import Servers as Given
from rappit_common.testing.waiting import eventually
from rappit_common.web.auth import Principal, Role, Tokens
from rappit_devstack.server import PrivateServer
from rappit_devstack.servers import Servers, ServerUrls
from rappit_sample.service import ECHO
from sqlalchemy.engine import make_url

SAMPLE = Path(__file__).parents[1] / "sample"


@pytest.fixture(scope="session")
def mortal(tmp_path_factory: pytest.TempPathFactory, servers: Given) -> Iterator[tuple[Servers, ServerUrls]]:
    """PostgreSQL and RabbitMQ of these tests' own, with fsync on, to be killed; Redis is everybody's."""
    own = Servers(
        tmp_path_factory.mktemp("mortal"),
        durable=True,
        environment={"RAPPIT_REDIS_URL": servers.redis_url},
        say=lambda _line: None,
    )
    try:
        yield own, own.start()
    finally:
        own.kill()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class SampleProcess:
    """``python -m rappit_sample`` with a caller's token."""

    def __init__(self, urls: ServerUrls, log: Path, **environment: str) -> None:
        self.log = log
        self.port = free_port()
        self.organization_id: UUID = new_id()
        database = make_url(urls.postgres)

        def of(role: str) -> str:
            url = database.set(username=role, password=f"{role}-test")
            return url.render_as_string(hide_password=False)

        self._environment = {
            **{name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}},
            "PYTHONPATH": str(SAMPLE),
            "PYTHONWARNINGS": "error",
            "ADMIN_DATABASE_URL": urls.postgres,
            "DATABASE_URL": of("rappit_sample"),
            "MIGRATION_DATABASE_URL": of("rappit_sample_owner"),
            "RABBITMQ_URL": urls.rabbitmq,
            "REDIS_URL": urls.redis,
            "JWT_SECRET": JWT_SECRET,
            "HTTP_HOST": "127.0.0.1",
            "HTTP_PORT": str(self.port),
            "RETRY_DELAYS_S": "0.05,0.1",
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", timeout=20)

    def start(self, *commands: str) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter on our own module
                [sys.executable, "-m", "rappit_sample", *commands], env=self._environment, stdout=log, stderr=log
            )

    def terminate(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    async def ended(self, within_s: float) -> int:
        assert self._process is not None
        return await asyncio.to_thread(self._process.wait, within_s)

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def headers(self, organization_id: UUID | None, role: Role) -> dict[str, str]:
        principal = Principal(new_id(), organization_id, role, "tester@example.com")
        token = Tokens(SecretStr(JWT_SECRET)).issue(principal, now=utc_now(), lifetime=timedelta(minutes=5))
        return {"Authorization": f"Bearer {token}"}

    async def readiness(self) -> int:
        with contextlib.suppress(httpx.TransportError):
            return (await self.http.get("/health/ready")).status_code
        return 0

    async def until_ready(self, status: int = 200, within_s: float = 20) -> None:
        async def reached() -> bool:
            return await self.readiness() == status

        await eventually(reached, within_s=within_s, what=f"readiness {status}")

    async def write(self, text: str) -> int:
        headers = self.headers(self.organization_id, Role.STAFF)
        with contextlib.suppress(httpx.TransportError):
            return (await self.http.post("/sample/notes", json={"text": text}, headers=headers)).status_code
        return 0

    async def notes(self) -> Counter[str]:
        answer = await self.http.get("/sample/notes", headers=self.headers(self.organization_id, Role.STAFF))
        assert answer.status_code == 200, answer.text
        return Counter(answer.json())

    async def letters(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        cursor = None
        while True:
            answer = await self.http.get(
                "/sample/ops/dead-letters",
                params={"limit": 200, **({"cursor": cursor} if cursor else {})},
                headers=self.headers(None, Role.OPERATOR),
            )
            assert answer.status_code == 200, answer.text
            page = answer.json()
            found += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return found

    def logged(self, event: str) -> list[dict[str, Any]]:
        # The last line may be half written.
        *lines, _ = self.log.read_text().split("\n")
        return [entry for entry in map(json.loads, (x for x in lines if x.startswith("{"))) if entry["event"] == event]


async def registered(broker: PrivateServer, queue: str) -> None:
    """Wait until a quorum queue outlives a kill of its broker.

    RabbitMQ writes down where a new quorum queue's log lies about a second after it has confirmed the declaration.
    Killed before, it comes back with an empty queue of that name, which never elects a leader and keeps none of what
    was confirmed, whatever is started again (3.10.8: six of six killed before, none of three killed after;
    https://github.com/rabbitmq/rabbitmq-server/issues/15725).
    """
    # An atom is written with its length before it: a queue whose name only starts like this one is another's.
    name = f"%2F_{queue}".encode()
    entry = bytes([len(name)]) + name

    async def written() -> bool:
        return any(entry in names.read_bytes() for names in broker.folder.glob("mnesia/*/quorum/*/names.dets"))

    await eventually(written, what=f"{queue} in the broker's own register of queues")


@pytest_asyncio.fixture
async def sample_process(
    mortal: tuple[Servers, ServerUrls], tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[SampleProcess]:
    own = SampleProcess(mortal[1], tmp_path / "sample.log", **getattr(request, "param", {}))
    own.start("provision", "migrate", "serve")
    try:
        await own.until_ready()
        # It declares this one last.
        await registered(mortal[0].private("rabbitmq"), ECHO.queue)
        yield own
    finally:
        own.kill()
        await own.http.aclose()
