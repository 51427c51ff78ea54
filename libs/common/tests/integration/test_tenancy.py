"""Two walls: the ORM filters by itself, and PostgreSQL refuses what slips past it."""

import pytest
from rappit_common.clock import new_id
from rappit_common.database.tenancy import ForeignTenantError, MissingTenantError, TenantSession
from rappit_common.unit_of_work import NestedUnitOfWorkError
from rappit_sample.service import Note
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

pytestmark = pytest.mark.server


@pytest.fixture
async def two_tenants(sample):
    ours, theirs = new_id(), new_id()
    for organization_id in (ours, theirs):
        async with sample.runtime.units.begin(organization_id) as unit:
            unit.session.add(Note(text=f"of {organization_id}"))
    return ours, theirs


async def test_select_update_and_delete_touch_only_the_tenant(sample, two_tenants):
    ours, theirs = two_tenants
    async with sample.runtime.units.begin(ours) as unit:
        assert list(await unit.session.scalars(select(Note.text))) == [f"of {ours}"]
        assert await unit.session.scalar(select(func.count()).select_from(Note)) == 1
        assert (await unit.session.execute(update(Note).values(text="changed"))).rowcount == 1
        assert (await unit.session.execute(delete(Note))).rowcount == 1
    async with sample.runtime.units.begin(theirs) as unit:
        assert list(await unit.session.scalars(select(Note.text))) == [f"of {theirs}"]


async def test_raw_sql_sees_only_the_tenant(sample, two_tenants):
    ours, _theirs = two_tenants
    async with sample.runtime.units.begin(ours) as unit:
        rows = (await unit.session.execute(text("SELECT text FROM notes"))).scalars().all()
    assert rows == [f"of {ours}"]


async def test_raw_sql_cannot_write_another_tenants_row(sample, two_tenants):
    ours, theirs = two_tenants
    with pytest.raises(ProgrammingError, match="row-level security"):
        async with sample.runtime.units.begin(ours) as unit:
            await unit.session.execute(
                text("INSERT INTO notes VALUES (:id, :org, 'forged')"), {"id": new_id(), "org": theirs}
            )


async def test_core_insert_for_another_tenant_is_refused(sample, two_tenants):
    ours, theirs = two_tenants
    with pytest.raises(ProgrammingError, match="row-level security"):
        async with sample.runtime.units.begin(ours) as unit:
            await unit.session.execute(insert(Note).values(id=new_id(), organization_id=theirs, text="forged"))


async def test_orm_insert_for_another_tenant_is_refused(sample, two_tenants):
    ours, theirs = two_tenants
    with pytest.raises(ForeignTenantError):
        async with sample.runtime.units.begin(ours) as unit:
            unit.session.add(Note(text="forged", organization_id=theirs))


async def test_a_connection_without_a_tenant_sees_nothing(sample, two_tenants):
    async with sample.runtime.database.engine.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM notes"))).scalar_one() == 0


async def test_a_session_without_a_tenant_fails(sample):
    sessions = async_sessionmaker(sample.runtime.database.engine, class_=AsyncSession, sync_session_class=TenantSession)
    async with sessions() as session:
        with pytest.raises(MissingTenantError):
            await session.scalars(select(Note))


async def test_bypass_sees_all_and_a_persons_bypass_is_audited(sample, two_tenants):
    ours, theirs = two_tenants
    reason = f"looking into {ours}"
    async with sample.runtime.units.bypass_tenancy(reason, actor="op@example.com") as unit:
        seen = set(await unit.session.scalars(select(Note.organization_id)))
        audited = await unit.session.scalar(
            text("SELECT actor FROM audit_log WHERE reason = :reason"), {"reason": reason}
        )
    assert {ours, theirs} <= seen
    assert audited == "op@example.com"


async def test_tenant_does_not_outlive_its_transaction_on_the_pooled_connection(sample, two_tenants):
    ours, _ = two_tenants
    for _ in range(sample.settings.database_pool_size + 1):
        async with sample.runtime.units.begin(ours):
            pass
        async with sample.runtime.database.engine.connect() as connection:
            left = (await connection.execute(text("SELECT current_setting('rappit.organization_id', true)"))).scalar()
        assert not left


async def test_nesting_units_of_work_raises(sample):
    async with sample.runtime.units.begin(new_id()):
        with pytest.raises(NestedUnitOfWorkError):
            async with sample.runtime.units.begin(new_id()):
                pytest.fail("a nested unit of work was opened")


async def test_runtime_role_reaches_no_other_schema(sample, sandbox):
    other = await sandbox.prepare("rappit_sample", "sample_two")
    async with sample.runtime.database.engine.connect() as connection:
        with pytest.raises(ProgrammingError, match="permission denied for schema sample_two"):
            await connection.execute(text("SELECT * FROM sample_two.notes"))
    assert "rappit_sample_two" in other.runtime_url


async def test_runtime_role_cannot_change_tables(sample):
    async with sample.runtime.database.engine.connect() as connection:
        with pytest.raises(ProgrammingError, match="must be owner"):
            await connection.execute(text("ALTER TABLE notes DISABLE ROW LEVEL SECURITY"))
