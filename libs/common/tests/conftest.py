import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pytest_asyncio
from asgi_lifespan import LifespanManager

sys.path.insert(0, str(Path(__file__).parent / "sample"))

from rappit_common.clock import new_id, utc_now
from rappit_common.service import Runtime, StatefulService
from rappit_common.settings import StatefulSettings
from rappit_common.testing.plugin import stateful_settings
from rappit_common.testing.servers import Sandbox
from rappit_common.testing.waiting import eventually
from rappit_common.unit_of_work import UnitOfWork
from rappit_common.web.auth import Principal, Role, Tokens
from rappit_sample.service import Scripted, make_service


@dataclass
class Sample:
    """The sample service, running whole in this process."""

    service: StatefulService[StatefulSettings, UnitOfWork]
    settings: StatefulSettings
    scripted: Scripted
    http: httpx.AsyncClient
    tokens: Tokens
    runtime: Runtime[StatefulSettings, UnitOfWork]

    def headers(self, organization_id: UUID | None, role: Role = Role.STAFF) -> dict[str, str]:
        principal = Principal(new_id(), organization_id, role, "tester@example.com")
        token = self.tokens.issue(principal, now=utc_now(), lifetime=timedelta(minutes=5))
        return {"Authorization": f"Bearer {token}"}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def running_sample(sandbox: Sandbox) -> AsyncIterator[Sample]:
    scripted = Scripted()
    service = make_service(scripted)
    settings = await stateful_settings(sandbox, StatefulSettings, "rappit_sample", "sample")
    app = service.create(settings, "serve")
    async with (
        LifespanManager(app, startup_timeout=15, shutdown_timeout=15) as manager,
        httpx.AsyncClient(transport=httpx.ASGITransport(manager.app), base_url="http://sample") as http,
    ):

        async def ready() -> bool:
            return (await http.get("/health/ready")).status_code == 200

        await eventually(ready, what="readiness", within_s=60)
        inner = app
        while not hasattr(inner, "state"):
            inner = inner._app
        yield Sample(service, settings, scripted, http, Tokens(settings.jwt_secret), inner.state.runtime)


@pytest_asyncio.fixture
async def sample(running_sample: Sample) -> Sample:
    running_sample.scripted.failures.clear()
    running_sample.scripted.deliveries = 0
    return running_sample
