"""Pytest fixtures for real servers. Loaded by the root ``conftest.py``."""

import os
import shutil
import subprocess
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from rappit_common.logs import configure_logs
from rappit_common.metrics import configure_metrics
from rappit_common.settings import StatefulSettings
from rappit_common.testing.servers import Sandbox, Servers
from rappit_common.tracing import configure_tracing

JWT_SECRET = "test-jwt-secret-of-more-than-32-characters"  # noqa: S105 - of tests, protects nothing
_ADVICE = "run `make test`, which starts real servers; or set RAPPIT_POSTGRES_URL and its siblings"


def _docker_answers() -> bool:
    docker = shutil.which("docker")
    return docker is not None and subprocess.run([docker, "info"], capture_output=True, check=False).returncode == 0  # noqa: S603


def _container(image: str, port: int, log: str, **environment: str) -> DockerContainer:
    container = DockerContainer(image).with_exposed_ports(port).waiting_for(LogMessageWaitStrategy(log))
    for name, value in environment.items():
        container = container.with_env(name, value)
    return container


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Real PostgreSQL, RabbitMQ and Redis: those in the environment, else containers, else a clear failure."""
    given = Servers.from_environment()
    if given is not None:
        yield given
        return
    if not _docker_answers():
        pytest.fail(f"this test needs real servers: {_ADVICE}")
    postgres = _container("postgres:17", 5432, "ready to accept connections", POSTGRES_PASSWORD="test")  # noqa: S106 - of a throw-away container
    rabbitmq = _container("rabbitmq:4-management", 5672, "Server startup complete").with_exposed_ports(15672)
    redis = _container("redis:7", 6379, "Ready to accept connections")
    with postgres, rabbitmq, redis:
        host = postgres.get_container_host_ip()
        yield Servers(
            f"postgresql://postgres:test@{host}:{postgres.get_exposed_port(5432)}/postgres",
            f"amqp://guest:guest@{host}:{rabbitmq.get_exposed_port(5672)}/",
            f"http://guest:guest@{host}:{rabbitmq.get_exposed_port(15672)}",
            f"redis://{host}:{redis.get_exposed_port(6379)}/0",
        )


@asynccontextmanager
async def opened_sandbox(servers: Servers, name: str) -> AsyncGenerator[Sandbox]:
    """Have a database and a virtual host while the block runs.

    The tests of a service override ``sandbox`` with one of their own by this: they play other services' queues, which
    those services' own tests declare for real.
    """
    made = Sandbox(servers, f"test_{name}_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}")
    await made.create()
    yield made
    await made.drop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sandbox(servers: Servers) -> AsyncIterator[Sandbox]:
    """A database and a virtual host of this test process's own."""
    async with opened_sandbox(servers, "any") as made:
        yield made


async def stateful_settings(
    sandbox: Sandbox, kind: type[StatefulSettings], module: str, schema: str, **values: object
) -> StatefulSettings:
    """Return a service's settings on a prepared schema of the sandbox."""
    database = await sandbox.prepare(module, schema)
    given: dict[str, object] = {
        "jwt_secret": JWT_SECRET,
        "database_url": database.runtime_url,
        "rabbitmq_url": sandbox.rabbitmq_url,
        "redis_url": sandbox.redis_url,
        "retry_delays_s": (0.05, 0.1),
        "http_host": "127.0.0.1",
        **values,
    }
    return kind(**given)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


@pytest.fixture(scope="session", autouse=True)
def _telemetry() -> None:  # pyright: ignore[reportUnusedFunction] - used by pytest
    """Log, trace and count as the services do, so that a failing test shows what an operator would see."""
    configure_logs("tests", "INFO")
    configure_tracing("tests")
    configure_metrics("tests")
