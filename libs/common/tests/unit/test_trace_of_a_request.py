"""One request has one trace, from its first log line to its last, whatever frameworks lie between."""

from contextlib import asynccontextmanager

import httpx
from pydantic import SecretStr
from rappit_common.errors import ConflictError
from rappit_common.service import create_app, wrap_app
from rappit_common.settings import ServiceSettings
from rappit_common.tracing import current_trace_id


@asynccontextmanager
async def no_lifespan(_app):
    yield


async def test_every_log_line_and_the_answer_name_the_same_trace(caplog):
    app = create_app("test", "/test", no_lifespan)
    seen = []

    @app.get("/test/refused")
    async def refused():
        seen.append(current_trace_id())
        raise ConflictError("No.")

    wrapped = wrap_app(app, ServiceSettings(jwt_secret=SecretStr("a-secret-of-tests-0123456789abcdefgh")))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(wrapped), base_url="http://test") as http:
        answer = await http.get("/test/refused")
    seen += [answer.headers["x-trace-id"], answer.json()["trace_id"]]
    logged = [record for record in caplog.records if record.name.startswith("rappit_common.web")]
    assert {record.msg["event"] for record in logged} == {"request_refused", "request_served"}
    seen += [record.msg["trace_id"] for record in logged]
    assert len(set(seen)) == 1
    assert seen[0] is not None
