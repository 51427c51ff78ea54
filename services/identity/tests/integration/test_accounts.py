"""Organizations and users, and who may do what to them."""

import asyncio
from uuid import UUID

import pytest
from rappit_common.clock import new_id, utc_now
from rappit_common.messaging import tables
from rappit_common.testing.waiting import eventually
from rappit_common.web.auth import Principal, Role
from rappit_identity.domain.accounts import LastOwnerError, MerchantRole
from rappit_identity.service.users import UserChange, change_user
from sqlalchemy import select, text

pytestmark = pytest.mark.server


async def audit_of(identity, organization_id):
    async with identity.runtime.database.engine.connect() as connection:
        rows = await connection.execute(
            select(tables.audit_log.c.actor, tables.audit_log.c.action)
            .where(tables.audit_log.c.organization_id == organization_id)
            .order_by(tables.audit_log.c.id)
        )
        return [tuple(row) for row in rows]


def organization_body(**changes):
    name = new_id().hex
    owner = {"email": f"owner@{name}.test", "name": "Olga", "password": "correct horse battery"}
    owner.update(changes.pop("owner", {}))
    return {"name": "Acme", "slug": f"acme-{name}", "owner": owner, **changes}


async def test_only_operators_onboard_merchants_and_it_is_audited(identity):
    acme = await identity.onboard()
    refused = await identity.http.post("/organizations", json=organization_body(), headers=acme.owner)
    assert (refused.status_code, refused.json()["code"]) == (403, "missing_role")
    assert (await identity.http.post("/organizations", json=organization_body())).status_code == 401
    assert await audit_of(identity, acme.id) == [("operator@example.com", "organization.create")]


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"slug": "Acme Outdoor"}, "invalid_slug", "lower-case letters"),
        ({"slug": "a--b"}, "invalid_slug", "no two hyphens"),
        ({"owner": {"email": "not-an-address"}}, "invalid_email", "e-mail address is not valid"),
        ({"owner": {"password": "short"}}, "weak_password", "at least 12 characters; this one has 5"),
        ({"owner": {"email": "someone@acme.test", "password": "Someone@acme.test"}}, "weak_password", "must not be"),
        ({"name": " "}, "validation_error", "name"),
        ({"unheard": 1}, "validation_error", "unheard"),
    ],
)
async def test_bad_bodies_are_refused_with_their_reason(identity, changes, code, words):
    answer = await identity.http.post("/organizations", json=organization_body(**changes), headers=identity.operator)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert words in answer.json()["detail"]


async def test_taken_slug_and_taken_address_are_conflicts_that_leave_nothing(identity):
    body = organization_body()
    assert (await identity.http.post("/organizations", json=body, headers=identity.operator)).status_code == 201
    again = organization_body(slug=body["slug"])
    refused = await identity.http.post("/organizations", json=again, headers=identity.operator)
    assert (refused.status_code, refused.json()["code"]) == (409, "slug_taken")
    same_owner = organization_body(owner={"email": body["owner"]["email"].upper()})
    refused = await identity.http.post("/organizations", json=same_owner, headers=identity.operator)
    assert (refused.status_code, refused.json()["code"]) == (409, "email_taken")
    # The organization of the refused request was rolled back: its slug is free.
    free = organization_body(slug=same_owner["slug"])
    assert (await identity.http.post("/organizations", json=free, headers=identity.operator)).status_code == 201


async def test_operators_page_through_organizations_and_merchants_see_their_own(identity):
    made = [await identity.onboard() for _ in range(3)]
    first = (await identity.http.get("/organizations?limit=2", headers=identity.operator)).json()
    second = (
        await identity.http.get(f"/organizations?limit=2&cursor={first['next_cursor']}", headers=identity.operator)
    ).json()
    assert [x["id"] for x in first["items"] + second["items"]][:3] == [x.id for x in reversed(made)]
    assert (await identity.http.get("/organizations?cursor=x", headers=identity.operator)).status_code == 422
    assert (await identity.http.get("/organizations", headers=made[0].owner)).status_code == 403
    one, other = made[0], made[1]
    assert (await identity.http.get(f"/organizations/{one.id}", headers=identity.operator)).json()["id"] == one.id
    assert (await identity.http.get(f"/organizations/{one.id}", headers=one.owner)).json()["id"] == one.id
    hidden = await identity.http.get(f"/organizations/{one.id}", headers=other.owner)
    assert (hidden.status_code, hidden.json()["code"]) == (404, "organization_not_found")


@pytest.mark.parametrize("role", ["staff", "viewer"])
async def test_only_owners_manage_users_and_keys(identity, role):
    acme = await identity.onboard()
    user = await identity.add_user(acme, role)
    headers = await identity.headers_of(user)
    body = {"email": "x@people.test", "name": "X", "role": "viewer", "password": "correct horse battery"}
    requests = [
        ("POST", "/users", body),
        ("PATCH", f"/users/{user['id']}", {"role": "owner"}),
        ("POST", "/api-keys", {"name": "k", "role": "viewer"}),
        ("GET", "/api-keys", None),
        ("DELETE", f"/api-keys/{new_id()}", None),
    ]
    answers = [await identity.http.request(method, path, json=json, headers=headers) for method, path, json in requests]
    assert [(x.status_code, x.json()["code"]) for x in answers] == [(403, "missing_role")] * len(requests)
    listed = (await identity.http.get("/users", headers=headers)).json()["items"]
    assert [x["email"] for x in listed] == [user["email"], acme.owner_email]


async def test_a_user_cannot_be_given_an_address_of_another_organization(identity):
    acme, other = await identity.onboard(), await identity.onboard()
    body = {"email": other.owner_email, "name": "X", "role": "viewer", "password": "correct horse battery"}
    refused = await identity.http.post("/users", json=body, headers=acme.owner)
    assert (refused.status_code, refused.json()["code"]) == (409, "email_taken")
    assert len((await identity.http.get("/users", headers=acme.owner)).json()["items"]) == 1


async def test_operator_roles_are_not_to_be_had_in_an_organization(identity):
    acme = await identity.onboard()
    body = {"email": "x@people.test", "name": "X", "role": "operator", "password": "correct horse battery"}
    assert (await identity.http.post("/users", json=body, headers=acme.owner)).status_code == 422
    assert (
        await identity.http.post("/api-keys", json={"name": "k", "role": "operator"}, headers=acme.owner)
    ).status_code == 422


async def test_closing_an_account_ends_its_sessions_and_reopening_lets_it_sign_in_again(identity, password):
    acme = await identity.onboard()
    user = await identity.add_user(acme)
    pair = await identity.login(user["email"])
    closed = await identity.http.patch(f"/users/{user['id']}", json={"active": False}, headers=acme.owner)
    assert (closed.status_code, closed.json()["active"]) == (200, False)
    assert (await identity.refresh(pair["refresh_token"])).status_code == 401
    me = await identity.http.get("/auth/me", headers={"Authorization": f"Bearer {pair['access_token']}"})
    assert (me.status_code, me.json()["code"]) == (401, "account_closed")
    async with identity.client() as http:
        refused = await http.post("/auth/login", json={"email": user["email"], "password": password})
    assert (refused.status_code, refused.json()["code"]) == (401, "invalid_credentials")
    reopened = await identity.http.patch(f"/users/{user['id']}", json={"active": True}, headers=acme.owner)
    assert reopened.json()["active"] is True
    # What ended stays ended, also for somebody who copied the token before.
    assert (await identity.refresh(pair["refresh_token"])).status_code == 401
    await identity.login(user["email"])
    actions = [action for _, action in await audit_of(identity, acme.id)]
    assert actions == ["organization.create", "user.create", "user.change", "user.change"]


@pytest.mark.parametrize("change", [{"role": "staff"}, {"active": False}])
async def test_the_last_owner_stays(identity, change):
    acme = await identity.onboard()
    refused = await identity.http.patch(f"/users/{acme.owner_id}", json=change, headers=acme.owner)
    assert (refused.status_code, refused.json()["code"]) == (409, "last_owner")
    second = await identity.add_user(acme, "owner")
    assert (await identity.http.patch(f"/users/{acme.owner_id}", json=change, headers=acme.owner)).status_code == 200
    headers = await identity.headers_of(second)
    refused = await identity.http.patch(f"/users/{second['id']}", json=change, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (409, "last_owner")


async def test_of_two_last_owners_who_step_down_at_once_one_stays(identity):
    acme = await identity.onboard()
    second = await identity.add_user(acme, "owner")
    units, changed, outcomes = identity.runtime.units, asyncio.Event(), {}
    by = Principal(UUID(acme.owner_id), UUID(acme.id), Role.OWNER, acme.owner_email)

    async def step_down(unit, user_id):
        await change_user(unit, UUID(user_id), UserChange(role=MerchantRole.STAFF), by=by, now=utc_now())

    async def second_waits_or_is_done():
        async with identity.runtime.database.engine.connect() as connection:
            waiting = await connection.scalar(
                text(
                    "SELECT count(*) FROM pg_stat_activity"
                    " WHERE wait_event_type = 'Lock' AND datname = current_database()"
                )
            )
        return waiting or "second" in outcomes

    async def first():
        async with units.begin(UUID(acme.id)) as unit:
            await step_down(unit, acme.owner_id)
            changed.set()
            await eventually(second_waits_or_is_done, what="the second owner's wait")
        outcomes["first"] = "stepped down"

    async def then_second():
        await changed.wait()
        try:
            async with units.begin(UUID(acme.id)) as unit:
                await step_down(unit, second["id"])
            outcomes["second"] = "stepped down"
        except LastOwnerError:
            outcomes["second"] = "stays"

    await asyncio.gather(first(), then_second())
    assert outcomes == {"first": "stepped down", "second": "stays"}


async def test_a_changed_role_shows_in_the_next_token(identity):
    acme = await identity.onboard()
    user = await identity.add_user(acme, "viewer")
    pair = await identity.login(user["email"])
    await identity.http.patch(f"/users/{user['id']}", json={"role": "owner", "name": "Una"}, headers=acme.owner)
    token = (await identity.refresh(pair["refresh_token"])).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert (await identity.http.get("/api-keys", headers=headers)).status_code == 200
    assert (await identity.http.get(f"/users/{user['id']}", headers=headers)).json()["name"] == "Una"
