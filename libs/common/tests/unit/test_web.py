from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import jwt
import pytest
from fastapi import FastAPI, Request
from pydantic import BaseModel, SecretStr
from rappit_common.errors import ConflictError, TooManyRequestsError
from rappit_common.pagination import InvalidCursorError, decode_cursor, encode_cursor
from rappit_common.web.auth import InvalidTokenError, Principal, Role, Staff, Tokens
from rappit_common.web.health import Readiness, install_health
from rappit_common.web.middleware import BodyLimit, RequestContext
from rappit_common.web.problems import install_problem_handlers

NOW = datetime.now(UTC)
# Since the tests were collected, which on a busy machine was long ago.
VALID_FOR = timedelta(hours=1)
SECRET, OTHER = SecretStr("first-secret-of-tests-0123456789ab"), SecretStr("other-secret-of-tests-0123456789ab")
SOMEBODY = Principal(UUID(int=1), UUID(int=2), Role.STAFF, "somebody@example.com")
LIMIT = 1024


class Body(BaseModel):
    quantity: int


class TakenError(ConflictError):
    code = "taken"


@pytest.fixture
async def http():
    app = FastAPI()
    install_problem_handlers(app)
    readiness = Readiness()
    install_health(app, readiness)
    app.state.tokens, app.state.readiness = Tokens(SECRET), readiness

    @app.post("/things")
    async def post_thing(body: Body) -> dict[str, int]:
        if body.quantity == 9:
            raise TakenError("Number 9 is taken.", status="not the problem's", quantity=9)
        if body.quantity == 8:
            raise TooManyRequestsError("Slower.", retry_after_s=7)
        return {"inverse": 1 // body.quantity}

    @app.post("/raw")
    async def raw(request: Request) -> int:
        return len(await request.body())

    @app.get("/mine")
    async def mine(principal: Staff) -> str:
        return str(principal.organization_id)

    transport = httpx.ASGITransport(RequestContext(BodyLimit(app, LIMIT)), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        client.readiness = readiness
        yield client


async def test_refusal_is_a_problem_with_its_code_and_facts(http):
    answer = await http.post("/things", json={"quantity": 9})
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["status"], body["code"], body["detail"], body["quantity"]) == (409, "taken", "Number 9 is taken.", 9)
    assert body["trace_id"] == answer.headers["x-trace-id"]


async def test_too_many_requests_says_when_to_come_back(http):
    answer = await http.post("/things", json={"quantity": 8})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")


async def test_invalid_body_names_the_field(http):
    answer = await http.post("/things", json={"quantity": "many"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "quantity"


async def test_bug_is_a_500_that_tells_nothing_of_the_inside(http):
    answer = await http.post("/things", json={"quantity": 0})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "ZeroDivision" not in answer.text


async def test_unknown_path_is_a_problem(http):
    assert (await http.get("/nowhere")).json()["code"] == "not_found"


async def test_announced_and_unannounced_bodies_over_the_limit_are_refused(http):
    async def chunks():
        for _ in range(3):
            yield b"x" * 500

    announced = await http.post("/raw", content=b"x" * (LIMIT + 1))
    unannounced = await http.post("/raw", content=chunks())
    exact = await http.post("/raw", content=b"x" * LIMIT)
    assert [announced.status_code, unannounced.status_code, exact.status_code] == [413, 413, 200]


async def test_caller_s_trace_is_continued(http):
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    answer = await http.get("/nowhere", headers={"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"})
    assert answer.headers["x-trace-id"] == trace_id


async def test_ready_only_while_every_condition_is_met(http):
    met = True
    http.readiness.add_flag("database", lambda: met)
    assert (await http.get("/health/ready")).status_code == 200
    met = False
    answer = await http.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["checks"]["database"] != "ok"
    assert (await http.get("/health/live")).status_code == 200


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


async def test_token_opens_the_door_of_its_tenant(http):
    token = Tokens(SECRET).issue(SOMEBODY, now=NOW, lifetime=VALID_FOR)
    assert (await http.get("/mine", headers=bearer(token))).json() == str(SOMEBODY.organization_id)


async def test_role_below_the_asked_one_is_refused(http):
    viewer = Principal(UUID(int=1), UUID(int=2), Role.VIEWER, "viewer")
    token = Tokens(SECRET).issue(viewer, now=NOW, lifetime=VALID_FOR)
    assert (await http.get("/mine", headers=bearer(token))).status_code == 403


@pytest.mark.parametrize("headers", [{}, bearer("nonsense"), {"Authorization": "Basic abc"}])
async def test_no_good_token_is_401(http, headers):
    answer = await http.get("/mine", headers=headers)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_expired_forged_and_unsigned_tokens_are_refused():
    tokens = Tokens(SECRET)
    expired = tokens.issue(SOMEBODY, now=NOW - timedelta(hours=1), lifetime=timedelta(minutes=1))
    forged = Tokens(OTHER).issue(SOMEBODY, now=NOW, lifetime=VALID_FOR)
    unsigned = jwt.encode({"sub": str(UUID(int=1)), "role": "owner", "exp": NOW + timedelta(hours=1)}, None, "none")
    for token in (expired, forged, unsigned):
        with pytest.raises(InvalidTokenError):
            tokens.verify(token)


def test_secret_is_rotated_without_signing_anybody_out():
    token = Tokens(SECRET).issue(SOMEBODY, now=NOW, lifetime=VALID_FOR)
    assert Tokens(OTHER, previous=SECRET).verify(token) == SOMEBODY


def test_cursor_holds_its_position_and_refuses_what_is_not_its():
    assert decode_cursor(encode_cursor("2026-01-01T00:00:00Z", "abc"), 2) == ("2026-01-01T00:00:00Z", "abc")
    for bad in ("", "%%%", "e30", encode_cursor("one"), encode_cursor("a", "b", "c")):
        with pytest.raises(InvalidCursorError):
            decode_cursor(bad, 2)
