"""What a database administrator does once for a service: two roles, one schema, and walls around it."""

import asyncio
from dataclasses import dataclass

import asyncpg
from sqlalchemy.engine import make_url

ATTEMPTS = 10
PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class Login:
    """A role's name and password, as its connection URL holds them."""

    role: str
    password: str

    @classmethod
    def of(cls, url: str) -> "Login":
        """Read the role and the password out of a connection URL.

        Raises:
            ValueError: The URL lacks a user or a password.
        """
        parsed = make_url(url)
        if not parsed.username or not parsed.password:
            raise ValueError("a database URL must name its user and password: postgresql://user:password@host/database")
        return cls(parsed.username, str(parsed.password))


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def provisioning_statements(schema: str, *, database: str, owner: Login, runtime: Login) -> list[str]:
    """Return the statements, each safe to repeat, that make a service's roles and schema.

    The owner migrates and owns the tables; the runtime role may only read and write rows, cannot bypass row-level
    security, and reaches no other schema.
    """
    statements: list[str] = []
    already_there = "WHEN duplicate_object OR unique_violation"
    for login in (owner, runtime):
        role, password = _identifier(login.role), _literal(login.password)
        statements += [
            f"DO $do$ BEGIN CREATE ROLE {role}; EXCEPTION {already_there} THEN NULL; END $do$",
            f"ALTER ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD {password}",
            f"ALTER ROLE {role} IN DATABASE {_identifier(database)} SET search_path = {_identifier(schema)}",
            f"GRANT CONNECT ON DATABASE {_identifier(database)} TO {role}",
        ]
    own, run, name = _identifier(owner.role), _identifier(runtime.role), _identifier(schema)
    tables = "GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES"
    return [
        *statements,
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        f"CREATE SCHEMA IF NOT EXISTS {name}",
        f"GRANT {own} TO CURRENT_USER",
        f"ALTER SCHEMA {name} OWNER TO {own}",
        f"REVOKE ALL ON SCHEMA {name} FROM PUBLIC",
        f"GRANT USAGE ON SCHEMA {name} TO {run}",
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {own} IN SCHEMA {name} {tables} TO {run}",
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {own} IN SCHEMA {name} GRANT USAGE, SELECT ON SEQUENCES TO {run}",
    ]


async def provision(admin_url: str, schema: str, *, owner_url: str, runtime_url: str) -> None:
    """Make a service's roles and schema in the database that its URLs name; repeating it changes nothing.

    Args:
        admin_url: A superuser's URL of the same server; its database name is replaced by the service's.
        schema: The service's schema.
        owner_url: ``MIGRATION_DATABASE_URL``.
        runtime_url: ``DATABASE_URL``.
    """
    database = make_url(runtime_url).database or "rappit"
    admin = make_url(admin_url).set(drivername="postgresql", database=database)
    owner, runtime = Login.of(owner_url), Login.of(runtime_url)
    statements = provisioning_statements(schema, database=database, owner=owner, runtime=runtime)
    connection = await asyncpg.connect(admin.render_as_string(hide_password=False), timeout=10)
    try:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await _execute(connection, statements)
            except asyncpg.InternalServerError as error:
                # Roles belong to the whole server and the lock to one database: a service provisioned in another
                # database at the same moment may have changed the same role.
                if attempt == ATTEMPTS or "concurrently updated" not in str(error):
                    raise
                await asyncio.sleep(PAUSE_S * attempt)
            else:
                return
    finally:
        await connection.close()


async def _execute(connection: asyncpg.Connection, statements: list[str]) -> None:
    async with connection.transaction():
        # Services provisioned at the same time take turns.
        await connection.execute("SELECT pg_advisory_xact_lock(7274696001)")
        for statement in statements:
            await connection.execute(statement)
