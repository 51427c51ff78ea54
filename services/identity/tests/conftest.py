import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
from asgi_lifespan import LifespanManager
from rappit_common.clock import new_id, utc_now
from rappit_common.service import Runtime
from rappit_common.testing.plugin import stateful_settings
from rappit_common.testing.servers import Sandbox
from rappit_common.testing.waiting import eventually
from rappit_common.web.auth import Principal, Role, Tokens
from rappit_identity.api import SERVICE
from rappit_identity.endpoints.dependencies import Identity
from rappit_identity.settings import IdentitySettings
from rappit_identity.unit import IdentityUnit

PASSWORD = "correct horse battery staple"
_hosts = itertools.count(1)


@dataclass
class Organization:
    """A merchant as it was onboarded, and its owner's headers."""

    id: str
    owner_id: str
    owner_email: str
    owner: dict[str, str]


@dataclass
class IdentityService:
    """The service, running whole in this process on real servers."""

    app: Any
    settings: IdentitySettings
    runtime: Runtime[IdentitySettings, IdentityUnit]
    http: httpx.AsyncClient
    shared: Identity

    @property
    def operator(self) -> dict[str, str]:
        tokens = Tokens(self.settings.jwt_secret)
        principal = Principal(new_id(), None, Role.OPERATOR, "operator@example.com")
        return bearer(tokens.issue(principal, now=utc_now(), lifetime=timedelta(minutes=5)))

    def client(self) -> httpx.AsyncClient:
        """Return a client with an address nobody else has, and so with a limit of its own."""
        return client_of(self.app)

    async def onboard(self) -> Organization:
        name = new_id().hex
        owner = {"email": f"owner@{name}.test", "name": "Olga Owner", "password": PASSWORD}
        body = {"name": "Acme", "slug": f"acme-{name}", "owner": owner}
        answer = await self.http.post("/organizations", json=body, headers=self.operator)
        assert answer.status_code == 201, answer.text
        made = answer.json()
        tokens = await self.login(owner["email"])
        return Organization(made["id"], made["owner"]["id"], owner["email"], bearer(tokens["access_token"]))

    async def login(self, email: str, password: str = PASSWORD) -> dict[str, Any]:
        async with self.client() as http:
            answer = await http.post("/auth/login", json={"email": email, "password": password})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def refresh(self, token: str) -> httpx.Response:
        async with self.client() as http:
            return await http.post("/auth/refresh", json={"refresh_token": token})

    async def add_user(self, organization: Organization, role: str = "staff") -> dict[str, Any]:
        body = {"email": f"{new_id().hex}@people.test", "name": "Uma", "role": role, "password": PASSWORD}
        answer = await self.http.post("/users", json=body, headers=organization.owner)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def headers_of(self, user: dict[str, Any]) -> dict[str, str]:
        return bearer((await self.login(user["email"]))["access_token"])


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def client_of(app: Any) -> httpx.AsyncClient:
    number, process = next(_hosts), new_id().int
    host = f"10.{process % 251}.{number // 250}.{number % 250 + 1}"
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, client=(host, 1)), base_url="http://identity")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def identity(sandbox: Sandbox) -> AsyncIterator[IdentityService]:
    # RabbitMQ is not given: identity must live without it.
    settings = await stateful_settings(sandbox, IdentitySettings, "rappit_identity", "identity", rabbitmq_url="")
    app = SERVICE.create(settings, "serve")
    async with LifespanManager(app, startup_timeout=15, shutdown_timeout=15) as manager, client_of(manager.app) as http:

        async def ready() -> bool:
            return (await http.get("/health/ready")).status_code == 200

        await eventually(ready, what="readiness", within_s=60)
        inner: Any = app
        while not hasattr(inner, "state"):
            inner = inner._app
        yield IdentityService(manager.app, settings, inner.state.runtime, http, inner.state.identity)


@pytest.fixture
def password() -> str:
    return PASSWORD
