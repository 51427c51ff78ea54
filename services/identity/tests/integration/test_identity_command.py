"""The real process: what it refuses to start with, and how the first operator is made."""

import asyncio
import json
import os
import signal
import socket
import sys

import httpx
import pytest
from rappit_common.testing.plugin import JWT_SECRET
from rappit_common.testing.waiting import eventually
from sqlalchemy import text

pytestmark = pytest.mark.server

EMAIL = "root@platform.test"
PASSWORD = "a password for operators"


async def run(*commands, **environment):
    """Run the command to its end with nothing but the given environment."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "rappit_identity",
        *commands,
        env={"PATH": os.environ["PATH"], **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


@pytest.fixture
def environment(identity):
    """What the service needs, and no RABBITMQ_URL."""
    return {
        "DATABASE_URL": identity.settings.database_url.get_secret_value(),
        "REDIS_URL": identity.settings.redis_url.get_secret_value(),
        "JWT_SECRET": JWT_SECRET,
        "HTTP_HOST": "127.0.0.1",
    }


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("JWT_SECRET", None, "JWT_SECRET is not set; Rappit has no default for it"),
        ("JWT_SECRET", "too short to be safe", "JWT_SECRET is too weak"),
        ("JWT_SECRET", "a" * 40, "JWT_SECRET is too weak"),
        ("DATABASE_URL", None, "DATABASE_URL is not set"),
    ],
)
async def test_refuses_to_start_and_names_the_variable(environment, name, value, reason):
    environment.pop(name)
    if value is not None:
        environment[name] = value
    status, _, err = await run("serve", **environment)
    assert status == 78
    assert err.startswith(reason)
    assert len(err.splitlines()) == 1
    assert value is None or value not in err


async def test_serves_without_a_broker_and_ends_gracefully(environment):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "rappit_identity",
        "serve",
        env={"PATH": os.environ["PATH"], "HTTP_PORT": str(port), **environment},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:

            async def ready():
                try:
                    return (await http.get("/health/ready")).status_code == 200
                except httpx.TransportError:
                    return False

            await eventually(ready, within_s=20, what="readiness")
            answer = await http.post("/auth/login", json={"email": "a@b.test", "password": "x"})
            assert (answer.status_code, answer.json()["code"]) == (401, "invalid_credentials")
            assert "/auth/login" in (await http.get("/auth/openapi.json")).json()["paths"]
        process.terminate()
        async with asyncio.timeout(15):
            out, _ = await process.communicate()
        # uvicorn ends by the signal it was given, once everything is closed.
        assert process.returncode in {0, -signal.SIGTERM}
        events = [json.loads(line)["event"] for line in out.splitlines()]
        assert {"service_started", "service_stopping", "Application shutdown complete."} <= set(events)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def hash_of_operator(identity):
    async with identity.runtime.units.bypass_tenancy("test") as unit:
        return await unit.session.scalar(text("SELECT password_hash FROM operators WHERE email = :e"), {"e": EMAIL})


async def test_create_operator_makes_it_once_and_mends_its_password(identity, environment):
    given = {"DATABASE_URL": environment["DATABASE_URL"], "OPERATOR_EMAIL": EMAIL, "OPERATOR_PASSWORD": PASSWORD}
    status, out, err = await run("create-operator", **given)
    assert (status, err) == (0, "")
    assert PASSWORD not in out
    first = await hash_of_operator(identity)
    pair = await identity.login(EMAIL, PASSWORD)
    headers = {"Authorization": f"Bearer {pair['access_token']}"}
    assert (await identity.http.get("/organizations", headers=headers)).status_code == 200
    me = (await identity.http.get("/auth/me", headers=headers)).json()
    assert (me["kind"], me["role"], me["organization_id"]) == ("operator", "operator", None)
    assert (await identity.http.get("/users", headers=headers)).status_code == 403

    status, _, _ = await run("create-operator", **given)
    assert (status, await hash_of_operator(identity)) == (0, first)
    pair = (await identity.refresh(pair["refresh_token"])).json()

    changed = {**given, "OPERATOR_PASSWORD": PASSWORD + " two"}
    status, _, _ = await run("create-operator", **changed)
    assert status == 0
    assert (await identity.refresh(pair["refresh_token"])).status_code == 401
    await identity.login(EMAIL, PASSWORD + " two")


async def test_create_operator_refuses_what_is_unfit(identity, environment):
    given = {"DATABASE_URL": environment["DATABASE_URL"], "OPERATOR_EMAIL": EMAIL}
    status, _, err = await run("create-operator", **given)
    assert (status, err) == (78, "OPERATOR_PASSWORD is not set; Rappit has no default for it\n")
    status, _, err = await run("create-operator", **given, OPERATOR_PASSWORD="short")
    assert (status, "OPERATOR_PASSWORD is not fit" in err) == (78, True)
    status, _, err = await run("create-operator", **{**given, "OPERATOR_EMAIL": "root", "OPERATOR_PASSWORD": PASSWORD})
    assert (status, "OPERATOR_EMAIL is not fit" in err) == (78, True)
    acme = await identity.onboard()
    taken = {**given, "OPERATOR_EMAIL": acme.owner_email, "OPERATOR_PASSWORD": PASSWORD}
    status, _, err = await run("create-operator", **taken)
    assert (status, "signs in to a user" in err) == (1, True)


async def test_expired_sessions_are_purged(identity):
    from rappit_identity.api import SessionPurge  # noqa: PLC0415 - beside its only use

    acme = await identity.onboard()
    token = (await identity.login(acme.owner_email))["refresh_token"]
    async with identity.runtime.units.begin(acme.id) as unit:
        await unit.session.execute(
            text(
                "UPDATE refresh_tokens SET expires_at = now() - interval '8 days'"
                " WHERE id = (SELECT min(id::text)::uuid FROM refresh_tokens)"
            )
        )
    assert await SessionPurge(identity.runtime.units).purge() == 1
    async with identity.runtime.units.begin(acme.id) as unit:
        assert await unit.session.scalar(text("SELECT count(*) FROM refresh_tokens")) == 1
    assert (await identity.refresh(token)).status_code == 200
