"""A service that has no messages needs no broker; one that has, says that it is away."""

from dataclasses import replace

import httpx
import pytest
from asgi_lifespan import LifespanManager
from rappit_common.settings import StatefulSettings
from rappit_common.testing.plugin import stateful_settings
from rappit_sample.service import Scripted, make_service

pytestmark = pytest.mark.server

NOBODY = "amqp://nobody:nothing@127.0.0.1:1/none"


@pytest.mark.parametrize(("uses_broker", "status"), [(False, 200), (True, 503)])
async def test_readiness_depends_on_the_broker_only_where_it_is_used(sandbox, uses_broker, status):
    settings = await stateful_settings(sandbox, StatefulSettings, "rappit_sample", "sample", rabbitmq_url=NOBODY)
    service = replace(make_service(Scripted()), router=None, subscriptions=(), uses_broker=uses_broker)
    async with (
        LifespanManager(service.create(settings, "serve"), startup_timeout=15, shutdown_timeout=15) as manager,
        httpx.AsyncClient(transport=httpx.ASGITransport(manager.app), base_url="http://sample") as http,
    ):
        answer = await http.get("/health/ready")
    assert answer.status_code == status, answer.text
    assert ("broker" in answer.json()["checks"]) == uses_broker
