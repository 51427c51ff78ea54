"""The test stand: a database and a virtual host of this run's own on real servers, and real service processes."""

import asyncio
import base64
import os
import secrets
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from rappit_common.testing.servers import Sandbox, Servers

READY_WITHIN_S = 30


class Stand:
    """Where one run is measured."""

    def __init__(self, servers: Servers) -> None:
        self.sandbox = Sandbox(servers, "bench")
        self.jwt_secret = secrets.token_urlsafe(48)
        self.encryption_key = base64.urlsafe_b64encode(os.urandom(32)).decode()

    def environment(self, schema: str, **changes: str) -> dict[str, str]:
        """Return a service's environment."""
        return {
            **{name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "TMPDIR"}},
            "DATABASE_URL": self.sandbox.urls(schema).runtime_url,
            "RABBITMQ_URL": self.sandbox.rabbitmq_url,
            "REDIS_URL": self.sandbox.redis_url,
            "JWT_SECRET": self.jwt_secret,
            "ENCRYPTION_KEY": self.encryption_key,
            "PUBLIC_BASE_URL": "http://127.0.0.1",
            "HTTP_HOST": "127.0.0.1",
            **changes,
        }

    @asynccontextmanager
    async def service(self, module: str, schema: str, role: str, **changes: str) -> AsyncIterator[int]:
        """Run one process of a service; gives its port once it is ready."""
        await self.sandbox.prepare(module, schema)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        with tempfile.NamedTemporaryFile(prefix=f"bench-{schema}-", suffix=".log", delete=False) as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                module,
                role,
                env=self.environment(schema, HTTP_PORT=str(port), **changes),
                stdout=log,
                stderr=log,
            )
        try:
            await _ready(port, process, Path(log.name))
            yield port
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()
        Path(log.name).unlink()  # noqa: ASYNC240 - once a run


async def _ready(port: int, process: asyncio.subprocess.Process, log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        while time.monotonic() < deadline and process.returncode is None:
            try:
                if (await client.get("/health/ready")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)
    raise RuntimeError(f"the service did not become ready; its log is {log}")


@asynccontextmanager
async def open_stand() -> AsyncIterator[Stand]:
    """Make a stand on the servers named in the environment.

    Raises:
        SystemExit: None are named.
    """
    servers = Servers.from_environment()
    if servers is None:
        sys.exit("benchmarks need real servers: run `make bench`, or set RAPPIT_POSTGRES_URL and its siblings")
    stand = Stand(servers)
    await stand.sandbox.create()
    try:
        yield stand
    finally:
        await stand.sandbox.drop()
