import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from asgi_lifespan import LifespanManager

sys.path.insert(0, str(Path(__file__).parent))

from console_kit import ORIGIN, console_settings
from rappit_console.api import create_console
from starlette.types import ASGIApp
from upstream_double import MERCHANT, PASSWORD, Served, World, make_upstream

SignIn = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture(scope="session")
def upstream_world() -> World:
    return World()


@pytest.fixture(scope="session")
def upstream_url(upstream_world: World) -> Iterator[str]:
    with Served(make_upstream(upstream_world)) as url:
        yield url


@pytest.fixture
def world(upstream_world: World) -> World:
    upstream_world.reset()
    return upstream_world


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def console(upstream_url: str) -> AsyncIterator[ASGIApp]:
    async with LifespanManager(create_console(console_settings(upstream_url))) as manager:
        yield manager.app


@pytest_asyncio.fixture
async def browser_like(console: ASGIApp, world: World) -> AsyncIterator[httpx.AsyncClient]:
    """A client that sends what browsers send beside a form of our own page."""
    transport = httpx.ASGITransport(console, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers={"Origin": ORIGIN}) as client:
        yield client


@pytest.fixture
def sign_in(browser_like: httpx.AsyncClient) -> SignIn:
    async def act(email: str = MERCHANT, password: str = PASSWORD, **fields: str) -> httpx.Response:
        return await browser_like.post("/console/sign-in", data={"email": email, "password": password, **fields})

    return act
