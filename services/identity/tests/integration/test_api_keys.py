"""Programs sign in with keys that are shown once, stored as hashes, and can be revoked."""

import pytest
from rappit_common.clock import new_id
from rappit_common.web.auth import Role, Tokens
from sqlalchemy import text

pytestmark = pytest.mark.server


async def exchange(identity, key):
    async with identity.client() as http:
        return await http.post("/auth/token", json={"api_key": key})


async def make(identity, organization, role="staff"):
    answer = await identity.http.post("/api-keys", json={"name": "ERP", "role": role}, headers=organization.owner)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_key_signs_in_with_its_role_and_is_stored_as_a_hash_only(identity):
    acme = await identity.onboard()
    made = await make(identity, acme)
    assert made["api_key"].startswith("rk_")
    answer = await exchange(identity, made["api_key"])
    assert answer.status_code == 200, answer.text
    assert "refresh_token" not in answer.json()
    principal = Tokens(identity.settings.jwt_secret).verify(answer.json()["access_token"])
    assert (str(principal.subject), str(principal.organization_id)) == (made["id"], acme.id)
    assert (principal.role, principal.label) == (Role.STAFF, "ERP")
    [listed] = (await identity.http.get("/api-keys", headers=acme.owner)).json()["items"]
    assert "api_key" not in listed
    assert listed["last_used_at"] is not None
    assert listed["created_by"] == acme.owner_email
    secret = made["api_key"].split("_", 2)[2]
    async with identity.runtime.units.bypass_tenancy("test") as unit:
        row = await unit.session.scalar(text("SELECT api_keys::text FROM api_keys WHERE id = :id"), {"id": made["id"]})
    assert secret not in row
    me = await identity.http.get("/auth/me", headers={"Authorization": f"Bearer {answer.json()['access_token']}"})
    assert (me.json()["kind"], me.json()["name"], me.json()["email"]) == ("api_key", "ERP", None)


async def test_wrong_unknown_and_malformed_keys_are_refused(identity):
    acme = await identity.onboard()
    good = (await make(identity, acme))["api_key"]
    prefix, key_id, secret = good.split("_", 2)
    wrong_secret = f"{prefix}_{key_id}_{secret[::-1]}"
    unknown = f"{prefix}_{new_id().hex}_{secret}"
    for key in (wrong_secret, unknown, "rk_", "", secret, good + "x"):
        answer = await exchange(identity, key)
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_api_key"), key


async def test_revoked_key_signs_in_no_more(identity):
    acme, other = await identity.onboard(), await identity.onboard()
    made = await make(identity, acme)
    token = (await exchange(identity, made["api_key"])).json()["access_token"]
    foreign = await identity.http.delete(f"/api-keys/{made['id']}", headers=other.owner)
    assert (foreign.status_code, foreign.json()["code"]) == (404, "api_key_not_found")
    assert (await exchange(identity, made["api_key"])).status_code == 200
    for _ in range(2):
        answer = await identity.http.delete(f"/api-keys/{made['id']}", headers=acme.owner)
        assert answer.status_code == 204
    assert (await exchange(identity, made["api_key"])).status_code == 401
    me = await identity.http.get("/auth/me", headers={"Authorization": f"Bearer {token}"})
    assert (me.status_code, me.json()["code"]) == (401, "account_closed")


async def test_a_key_has_no_password_to_change(identity, password):
    acme = await identity.onboard()
    token = (await exchange(identity, (await make(identity, acme, "owner"))["api_key"])).json()["access_token"]
    async with identity.client() as http:
        answer = await http.post(
            "/auth/password",
            json={"current_password": password, "new_password": "another long enough one"},
            headers={"Authorization": f"Bearer {token}"},
        )
    assert (answer.status_code, answer.json()["code"]) == (403, "missing_role")
