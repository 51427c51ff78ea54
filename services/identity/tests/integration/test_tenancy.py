"""No organization sees another's accounts, even by raw SQL."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from rappit_common.clock import new_id
from rappit_identity.models import ApiKey, IdentityBase, User
from sqlalchemy import delete, select, text, update
from sqlalchemy.exc import DBAPIError

pytestmark = pytest.mark.server

WALLED = ("organizations", "users", "logins", "refresh_tokens", "api_keys")


async def counts(unit):
    return {table: await unit.session.scalar(text(f"SELECT count(*) FROM {table}")) for table in WALLED}  # noqa: S608


async def test_raw_sql_sees_its_tenant_only(identity):
    acme, other = await identity.onboard(), await identity.onboard()
    for organization in (acme, other):
        await identity.http.post("/api-keys", json={"name": "k", "role": "viewer"}, headers=organization.owner)
    async with identity.runtime.units.begin(acme.id) as unit:
        assert await counts(unit) == dict.fromkeys(WALLED, 1)
        assert await unit.session.scalar(text("SELECT count(*) FROM operators")) == 0
        emails = (await unit.session.scalars(text("SELECT email FROM users"))).all()
        assert emails == [acme.owner_email]
    async with identity.runtime.units.begin(new_id()) as unit:
        assert await counts(unit) == dict.fromkeys(WALLED, 0)
    async with identity.runtime.database.engine.connect() as connection:
        # Not even asked for a tenant: nothing.
        assert await connection.scalar(text("SELECT count(*) FROM users")) == 0


async def test_raw_sql_writes_its_tenant_only(identity):
    acme, other = await identity.onboard(), await identity.onboard()
    async with identity.runtime.units.begin(acme.id) as unit:
        changed = await unit.session.execute(
            text("UPDATE users SET role = 'viewer' WHERE organization_id = :other"), {"other": other.id}
        )
        assert changed.rowcount == 0
        removed = await unit.session.execute(
            text("DELETE FROM logins WHERE email = :email"), {"email": other.owner_email}
        )
        assert removed.rowcount == 0
    with pytest.raises(DBAPIError, match="row-level security"):
        async with identity.runtime.units.begin(acme.id) as unit:
            await unit.session.execute(
                text(
                    "INSERT INTO api_keys (id, organization_id, name, role, secret_hash, created_by, created_at)"
                    " VALUES (gen_random_uuid(), :other, 'x', 'owner', '', 'thief', now())"
                ),
                {"other": other.id},
            )


async def test_orm_statements_are_filtered_by_themselves(identity):
    acme, other = await identity.onboard(), await identity.onboard()
    async with identity.runtime.units.begin(acme.id) as unit:
        assert (await unit.session.scalars(select(User.email))).all() == [acme.owner_email]
        await unit.session.execute(update(User).values(name="Renamed"))
        await unit.session.execute(delete(ApiKey))
    assert (await identity.http.get(f"/users/{other.owner_id}", headers=other.owner)).json()["name"] == "Olga Owner"


async def test_owners_reach_nothing_of_each_other_over_http(identity):
    acme, other = await identity.onboard(), await identity.onboard()
    key = (await identity.http.post("/api-keys", json={"name": "k", "role": "owner"}, headers=other.owner)).json()
    requests = [
        ("GET", f"/users/{other.owner_id}"),
        ("PATCH", f"/users/{other.owner_id}"),
        ("DELETE", f"/api-keys/{key['id']}"),
        ("GET", f"/organizations/{other.id}"),
    ]
    for method, path in requests:
        json = {"name": "Mine now"} if method == "PATCH" else None
        answer = await identity.http.request(method, path, json=json, headers=acme.owner)
        assert answer.status_code == 404, (method, path, answer.text)
    for path in ("/users", "/api-keys"):
        mine = (await identity.http.get(path, headers=acme.owner)).text
        assert other.owner_email not in mine
        assert key["id"] not in mine


async def test_models_are_what_the_migrations_make(identity):
    own = {table.name for table in IdentityBase.metadata.sorted_tables}

    def differences(connection):
        context = MigrationContext.configure(
            connection, opts={"include_name": lambda name, kind, _parents: kind != "table" or name in own}
        )
        return compare_metadata(context, IdentityBase.metadata)

    async with identity.runtime.database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []
