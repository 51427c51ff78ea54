"""Migrations: one Alembic environment for every service, and the pieces their migrations share."""

import asyncio
from importlib.util import find_spec
from pathlib import Path

from alembic import command, op
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from rappit_common.database.engine import asyncpg_url

LOCK_TIMEOUT = "5s"
STATEMENT_TIMEOUT = "15min"


def migrations_folder(module: str) -> Path:
    """Return where a service's migrations lie: inside the installed wheel, or beside ``src`` in a checkout.

    Raises:
        FileNotFoundError: The wheel was built without its migrations.
    """
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"{module} is not installed")
    package = Path(spec.origin).parent
    for folder in (package / "migrations", package.parent.parent / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    raise FileNotFoundError(f"no migrations found for {module}")


def alembic_config(module: str, url: str, schema: str) -> Config:
    """Return Alembic's configuration for one service; nothing is read from an ini file."""
    config = Config()
    config.set_main_option("script_location", str(migrations_folder(module)))
    config.attributes["url"] = url
    config.attributes["schema"] = schema
    return config


def upgrade(module: str, url: str, schema: str) -> None:
    """Bring a service's schema to its newest version, under the owner's role. Safe to repeat, and at once."""
    command.upgrade(alembic_config(module, url, schema), "head")


def run(context: EnvironmentContext, metadata: MetaData) -> None:
    """Be the body of a service's ``migrations/env.py``."""
    asyncio.run(_run(context, metadata))


async def _run(context: EnvironmentContext, metadata: MetaData) -> None:
    attributes = context.config.attributes
    schema: str = attributes["schema"]
    engine = create_async_engine(
        asyncpg_url(attributes["url"]),
        poolclass=NullPool,
        connect_args={
            "timeout": 10,
            "server_settings": {
                "search_path": schema,
                # A migration that waits for a lock makes everybody behind it wait too: give up early, try again.
                "lock_timeout": LOCK_TIMEOUT,
                "statement_timeout": STATEMENT_TIMEOUT,
            },
        },
    )

    def migrate(connection: Connection) -> None:
        context.configure(connection=connection, target_metadata=metadata, compare_server_default=False)
        with context.begin_transaction():
            connection.execute(text("SELECT pg_advisory_xact_lock(7274696002)"))
            context.run_migrations()

    async with engine.connect() as connection:
        await connection.run_sync(migrate)
        await connection.commit()
    await engine.dispose()


def enable_tenancy(*tables: str) -> None:
    """Put the second wall on tables: row-level security that binds even the owner.

    A statement sees and writes only rows of ``rappit.organization_id``; with neither a tenant nor an explicit bypass it
    sees nothing. Called from a migration.
    """
    for table in tables:
        op.execute(f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY')
        op.execute(f'ALTER TABLE "{table}" FORCE ROW LEVEL SECURITY')
        op.execute(
            f'CREATE POLICY tenant ON "{table}" USING ('
            "organization_id = nullif(current_setting('rappit.organization_id', true), '')::uuid"
            " OR current_setting('rappit.bypass_tenancy', true) = 'on')"
        )


def make_append_only(*tables: str) -> None:
    """Refuse every change or removal of rows already written, whoever asks. Called from a migration."""
    op.execute(
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END $$"
    )
    for table in tables:
        op.execute(
            f'CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON "{table}"'
            " FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
