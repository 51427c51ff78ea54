import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

sys.path.insert(0, str(Path(__file__).parent))

from gateway_testkit import Gateway, Received, bound_queue, gateway_settings, running_gateway
from rappit_common.clock import new_id
from rappit_common.testing.plugin import opened_sandbox
from rappit_common.testing.servers import Sandbox, Servers


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sandbox(servers: Servers) -> AsyncIterator[Sandbox]:
    """A broker of our own: these tests play queues that other services' tests declare for real."""
    async with opened_sandbox(servers, "webhook_gateway") as made:
        yield made


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def session_gateway(sandbox: Sandbox) -> AsyncIterator[Gateway]:
    async with running_gateway(await gateway_settings(sandbox)) as gateway:
        yield gateway


@pytest.fixture
def gateway(session_gateway: Gateway) -> Gateway:
    session_gateway.organization_id = new_id()
    return session_gateway


@pytest_asyncio.fixture
async def received(sandbox: Sandbox) -> AsyncIterator[Received]:
    async with bound_queue(sandbox.rabbitmq_url) as queue:
        yield queue
