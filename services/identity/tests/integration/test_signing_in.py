"""Sessions begin with a password, go on by refresh tokens used once, and end when they should."""

import asyncio
from datetime import timedelta

import httpx
import pytest
from asgi_lifespan import LifespanManager
from rappit_common.clock import new_id, utc_now
from rappit_common.testing.plugin import stateful_settings
from rappit_common.web.auth import Role, Tokens
from rappit_identity.api import SERVICE
from rappit_identity.service.sessions import continue_session
from rappit_identity.settings import IdentitySettings

pytestmark = pytest.mark.server

PASSWORD = "correct horse battery staple"
WRONG = "The e-mail address or the password is wrong."


async def test_owner_signs_in_and_the_token_proves_the_organization(identity, password):
    acme = await identity.onboard()
    pair = await identity.login(acme.owner_email.upper().replace("OWNER", " OWNER"), password)
    assert (pair["token_type"], pair["expires_in_s"]) == ("bearer", 900)
    principal = Tokens(identity.settings.jwt_secret).verify(pair["access_token"])
    assert (str(principal.organization_id), principal.role, principal.label) == (
        acme.id,
        Role.OWNER,
        acme.owner_email,
    )


async def test_me_tells_who_is_asking(identity):
    acme = await identity.onboard()
    answer = await identity.http.get("/auth/me", headers=acme.owner)
    assert answer.status_code == 200, answer.text
    me = answer.json()
    assert (me["id"], me["kind"], me["role"], me["name"]) == (acme.owner_id, "user", "owner", "Olga Owner")
    assert (me["organization_id"], me["organization"]["name"]) == (acme.id, "Acme")


async def test_unknown_address_and_wrong_password_get_the_same_answer(identity, password):
    acme = await identity.onboard()
    answers = []
    async with identity.client() as http:
        for email, typed in ((acme.owner_email, "not the password"), (f"{new_id().hex}@nowhere.test", password)):
            answer = await http.post("/auth/login", json={"email": email, "password": typed})
            body = answer.json()
            body.pop("trace_id")
            answers.append((answer.status_code, body))
    assert answers[0] == answers[1]
    assert (answers[0][0], answers[0][1]["code"], answers[0][1]["detail"]) == (401, "invalid_credentials", WRONG)


async def test_unknown_address_costs_a_hash_like_any_other(identity, monkeypatch):
    passwords = identity.shared.passwords
    verified = []
    real = passwords._verify
    monkeypatch.setattr(passwords, "_verify", lambda stored, typed: verified.append(stored) or real(stored, typed))
    async with identity.client() as http:
        body = {"email": "nobody@nowhere.test", "password": "whatever it may be"}
        assert (await http.post("/auth/login", json=body)).status_code == 401
    assert [stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$") for stored in verified] == [True]


async def test_refresh_gives_a_new_pair_and_the_old_token_ends_the_session(identity):
    acme = await identity.onboard()
    first = (await identity.login(acme.owner_email))["refresh_token"]
    other_session = (await identity.login(acme.owner_email))["refresh_token"]
    answer = await identity.refresh(first)
    assert answer.status_code == 200, answer.text
    second = answer.json()["refresh_token"]
    assert second != first
    third = (await identity.refresh(second)).json()["refresh_token"]

    lifetime = identity.settings.refresh_token_lifetime
    async with identity.runtime.units.bypass_tenancy("test") as unit:
        later = utc_now() + timedelta(seconds=11)
        assert await continue_session(unit, first, now=later, lifetime=lifetime) is None
    refused = await identity.refresh(third)
    assert (refused.status_code, refused.json()["code"]) == (401, "invalid_refresh_token")
    assert (await identity.refresh(other_session)).status_code == 200


async def test_two_refreshes_at_once_both_continue_the_one_session(identity):
    acme = await identity.onboard()
    token = (await identity.login(acme.owner_email))["refresh_token"]
    answers = await asyncio.gather(identity.refresh(token), identity.refresh(token))
    assert [answer.status_code for answer in answers] == [200, 200]
    one, other = (answer.json()["refresh_token"] for answer in answers)
    async with identity.client() as http:
        assert (await http.post("/auth/logout", json={"refresh_token": one})).is_success
    assert (await identity.refresh(other)).status_code == 401


async def test_refresh_token_expires_after_thirty_days(identity):
    acme = await identity.onboard()
    token = (await identity.login(acme.owner_email))["refresh_token"]
    lifetime = identity.settings.refresh_token_lifetime
    assert lifetime == timedelta(days=30)
    for age, is_good in ((lifetime + timedelta(seconds=1), False), (lifetime - timedelta(seconds=10), True)):
        async with identity.runtime.units.bypass_tenancy("test") as unit:
            session = await continue_session(unit, token, now=utc_now() + age, lifetime=lifetime)
        assert (session is not None) == is_good


async def test_logout_ends_the_session_and_may_be_repeated(identity):
    acme = await identity.onboard()
    token = (await identity.login(acme.owner_email))["refresh_token"]
    async with identity.client() as http:
        statuses = [
            (await http.post("/auth/logout", json={"refresh_token": given})).status_code
            for given in (token, token, "never issued")
        ]
    assert statuses == [204, 204, 204]
    assert (await identity.refresh(token)).status_code == 401


async def test_new_password_ends_every_session_but_the_new_one(identity, password):
    acme = await identity.onboard()
    old = (await identity.login(acme.owner_email))["refresh_token"]
    new = "another long enough password"
    async with identity.client() as http:
        wrong = {"current_password": "guess", "new_password": new}
        assert (await http.post("/auth/password", json=wrong, headers=acme.owner)).status_code == 401
        weak = {"current_password": password, "new_password": acme.owner_email}
        refused = await http.post("/auth/password", json=weak, headers=acme.owner)
        assert (refused.status_code, refused.json()["code"]) == (422, "weak_password")
        right = {"current_password": password, "new_password": new}
        answer = await http.post("/auth/password", json=right, headers=acme.owner)
        assert answer.status_code == 200, answer.text
        assert (
            await http.post("/auth/login", json={"email": acme.owner_email, "password": password})
        ).status_code == 401
    assert (await identity.refresh(old)).status_code == 401
    assert (await identity.refresh(answer.json()["refresh_token"])).status_code == 200
    await identity.login(acme.owner_email, new)


async def test_sixty_requests_a_minute_from_one_address_then_429(identity):
    async with identity.client() as http, identity.client() as neighbour:
        # Logouts, since they cost nothing: the limit counts all of /auth together.
        statuses = [(await http.post("/auth/logout", json={"refresh_token": "none"})).status_code for _ in range(59)]
        statuses.append((await http.get("/auth/me")).status_code)
        assert statuses == [204] * 59 + [401]

        async def refused() -> httpx.Response:
            return await http.post("/auth/login", json={"email": "a@b.test", "password": "x"})

        answers = [await refused() for _ in range(5)]
        limited = [answer for answer in answers if answer.status_code == 429]
        assert limited, [answer.status_code for answer in answers]
        assert limited[-1].json()["code"] == "too_many_requests"
        assert 1 <= int(limited[-1].headers["retry-after"]) <= 60
        assert (await neighbour.post("/auth/logout", json={"refresh_token": "none"})).status_code == 204


async def test_signing_in_goes_on_while_redis_is_away(identity, sandbox):
    """The limit fails open: locking everybody out would be worse than a while of faster guessing."""
    acme = await identity.onboard()
    settings = await stateful_settings(
        sandbox, IdentitySettings, "rappit_identity", "identity", rabbitmq_url="", redis_url="redis://127.0.0.1:1/0"
    )
    body = {"email": acme.owner_email, "password": PASSWORD}
    async with (
        LifespanManager(SERVICE.create(settings, "api")) as manager,
        httpx.AsyncClient(transport=httpx.ASGITransport(manager.app), base_url="http://identity") as http,
    ):
        statuses = [(await http.post("/auth/login", json=body)).status_code for _ in range(2)]
        ready = await http.get("/health/ready")
    assert (statuses, ready.status_code) == ([200, 200], 200)
