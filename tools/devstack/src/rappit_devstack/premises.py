"""A stack's own rooms on its servers: a database, a virtual host with a user, and a Redis database.

Servers may be shared (URLs given in the environment, the test run's servers), so what is made carries a mark, and
nothing is removed that does not carry ours.
"""

import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
import redis

from rappit_devstack import postgres
from rappit_devstack.errors import DevstackError
from rappit_devstack.rabbitmq import management_request
from rappit_devstack.servers import ServerUrls
from rappit_devstack.state import PROJECT

STATEMENT_TIMEOUT_S = 30.0
POLICIES = PROJECT / "deploy/rabbitmq/policies.json"


@dataclass(frozen=True)
class Premises:
    """Where one stack's data is.

    Attributes:
        urls: The administrators' URLs of the servers.
        name: Of the database and the virtual host.
        mark: What is written on them, to know them again.
        broker_password: Of the broker's user.
        redis_database: Number of the Redis database.
    """

    urls: ServerUrls
    name: str
    mark: str
    broker_password: str
    redis_database: int

    @property
    def broker_user(self) -> str:
        """The broker's user, who may only enter the virtual host."""
        return f"{self.name}_services"

    def database_url(self, role: str, password: str) -> str:
        """Return a role's URL of the database."""
        parts = urlsplit(self.urls.postgres)
        host = parts.netloc.rpartition("@")[2]
        return f"postgresql://{role}:{quote(password, safe='')}@{host}/{self.name}"

    @property
    def admin_database_url(self) -> str:
        """The superuser's URL of the database."""
        return urlunsplit(urlsplit(self.urls.postgres)._replace(path=f"/{self.name}"))

    @property
    def rabbitmq_url(self) -> str:
        """The URL of the virtual host, for its own user."""
        parts = urlsplit(self.urls.rabbitmq)
        host = parts.netloc.rpartition("@")[2]
        return f"{parts.scheme}://{self.broker_user}:{quote(self.broker_password, safe='')}@{host}/{self.name}"

    @property
    def redis_url(self) -> str:
        """The URL of the Redis database."""
        return urlunsplit(urlsplit(self.urls.redis)._replace(path=f"/{self.redis_database}"))

    def furnish(self) -> None:
        """Make what is missing; repeating it changes nothing.

        Raises:
            DevstackError: A server refuses.
        """
        try:
            postgres.run(self._make_database())
        except (OSError, asyncpg.PostgresError) as error:
            raise DevstackError(
                f"The database {self.name} could not be made: {error}. RAPPIT_POSTGRES_URL must be a superuser's."
            ) from error
        try:
            self._manage("PUT", f"/api/vhosts/{self.name}", {"description": self.mark})
            self._manage("PUT", f"/api/users/{self.broker_user}", {"password": self.broker_password, "tags": ""})
            everything = {"configure": ".*", "write": ".*", "read": ".*"}
            self._manage("PUT", f"/api/permissions/{self.name}/{self.broker_user}", everything)
            for policy in json.loads(POLICIES.read_text())["policies"]:
                path = f"/api/policies/{self.name}/{policy.pop('name')}"
                self._manage("PUT", path, {**policy, "vhost": self.name})
        except OSError as error:
            raise DevstackError(
                f"The virtual host {self.name} could not be made: {error}. "
                "RAPPIT_RABBITMQ_MANAGEMENT_URL must be an administrator's."
            ) from error

    def demolish(self) -> None:
        """Remove database, virtual host and user, when they carry our mark; what is not there is passed over.

        Raises:
            DevstackError: Something of that name is not ours.
        """
        try:
            postgres.run(self._drop_database())
            self._drop_virtual_host()
        except (OSError, asyncpg.PostgresError) as error:
            raise DevstackError(
                f"The database and the virtual host {self.name} could not be removed: {error}. Are their servers up?"
            ) from error

    def _drop_virtual_host(self) -> None:
        found = [v for v in cast("list[dict[str, Any]]", self._manage("GET", "/api/vhosts")) if v["name"] == self.name]
        if found:
            if found[0].get("description") != self.mark:
                raise DevstackError(
                    f"The virtual host {self.name} does not carry this stack's mark, so it stays: "
                    "remove it by hand if it is yours."
                )
            self._manage("DELETE", f"/api/vhosts/{self.name}")
            self._manage("DELETE", f"/api/users/{self.broker_user}")

    async def _make_database(self) -> None:
        connection = await postgres.connect(self.urls.postgres)
        try:
            if await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", self.name) is None:
                await connection.execute(
                    f'CREATE DATABASE "{self.name}" TEMPLATE template0', timeout=STATEMENT_TIMEOUT_S
                )
                # COMMENT takes no parameters; the quoting is PostgreSQL's own.
                literal = await connection.fetchval("SELECT quote_literal($1::text)", self.mark)
                await connection.execute(f'COMMENT ON DATABASE "{self.name}" IS {literal}')
        finally:
            await connection.close()

    async def _drop_database(self) -> None:
        connection = await postgres.connect(self.urls.postgres)
        try:
            mark = await connection.fetchrow(
                "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = $1", self.name
            )
            if mark is None:
                return
            if mark[0] != self.mark:
                raise DevstackError(
                    f"The database {self.name} does not carry this stack's mark, so it stays: "
                    "drop it by hand if it is yours."
                )
            await connection.execute(f'DROP DATABASE "{self.name}" WITH (FORCE)', timeout=STATEMENT_TIMEOUT_S)
        finally:
            await connection.close()

    def _manage(self, method: str, path: str, body: object = None) -> Any:
        return management_request(method, self.urls.rabbitmq_management, path, body)


def fresh_name() -> str:
    """Return a name that no other stack has."""
    return f"rappit_{secrets.token_hex(5)}"


def mark_of(folder: Path) -> str:
    """Return what a folder's stack writes on what it makes."""
    return f"made by rappit-devstack for {folder}"


def choose_redis_database(url: str) -> int:
    """Return the number of an empty Redis database other than 0 on a shared server."""
    client: Any = redis.Redis.from_url(url, decode_responses=True)  # pyright: ignore[reportUnknownMemberType] - untyped there
    try:
        used = {int(name.removeprefix("db")) for name in client.info("keyspace")}
        limit = int(client.config_get("databases")["databases"])
    except (redis.RedisError, OSError, KeyError) as error:
        raise DevstackError(f"Redis cannot be asked about its databases: {error}") from error
    finally:
        client.close()
    empty = [number for number in range(1, limit) if number not in used]
    # Chosen by chance among the empty ones: stacks that start together see the same ones.
    return secrets.choice(empty) if empty else 0
