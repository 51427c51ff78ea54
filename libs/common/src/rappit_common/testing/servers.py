"""Real servers for tests: those of ``make test``, or containers where a Docker engine answers."""

import asyncio
import json
import os
import secrets
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from sqlalchemy.engine import make_url

from rappit_common.database.migrations import upgrade
from rappit_common.database.provision import provision

POLICIES = Path(__file__).resolve().parents[5] / "deploy/rabbitmq/policies.json"
_VARIABLES = ("RAPPIT_POSTGRES_URL", "RAPPIT_RABBITMQ_URL", "RAPPIT_RABBITMQ_MANAGEMENT_URL", "RAPPIT_REDIS_URL")


@dataclass(frozen=True, slots=True)
class Servers:
    """Administrators' URLs of the servers that tests may fill with their own databases and virtual hosts."""

    postgres_url: str
    rabbitmq_url: str
    management_url: str
    redis_url: str

    @classmethod
    def from_environment(cls) -> "Servers | None":
        """Return the servers that ``make test`` started, or None."""
        values = [os.environ.get(name, "") for name in _VARIABLES]
        return cls(*values) if all(values) else None


@dataclass(frozen=True, slots=True)
class ServiceDatabase:
    """A service's schema, provisioned and migrated: its two URLs."""

    runtime_url: str
    owner_url: str


class Sandbox:
    """A database and a virtual host of one test process's own, so that tests run beside each other.

    Args:
        servers: Where to make them.
        name: Unique among test processes that run at the same time.
    """

    def __init__(self, servers: Servers, name: str) -> None:
        self.servers = servers
        self.name = f"{name}_{secrets.token_hex(4)}"
        self.redis_url = servers.redis_url
        broker = urllib.parse.urlsplit(servers.rabbitmq_url)
        self.rabbitmq_url = urllib.parse.urlunsplit(broker._replace(path=f"/{self.name}"))
        self._prepared: dict[str, ServiceDatabase] = {}

    @property
    def admin_url(self) -> str:
        """The superuser's URL of this sandbox's database."""
        return make_url(self.servers.postgres_url).set(database=self.name).render_as_string(hide_password=False)

    async def create(self) -> None:
        """Make the database and the virtual host, with the queues' policies as in production."""
        connection = await asyncpg.connect(self.servers.postgres_url)
        try:
            await connection.execute(f'CREATE DATABASE "{self.name}" TEMPLATE template0')
        finally:
            await connection.close()
        await self._management("PUT", f"/api/vhosts/{self.name}")
        user = urllib.parse.urlsplit(self.servers.rabbitmq_url).username
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        await self._management("PUT", f"/api/permissions/{self.name}/{user}", everything)
        for policy in json.loads(POLICIES.read_text())["policies"]:
            path = f"/api/policies/{self.name}/{policy.pop('name')}"
            await self._management("PUT", path, {**policy, "vhost": self.name})

    async def drop(self) -> None:
        """Remove both."""
        connection = await asyncpg.connect(self.servers.postgres_url)
        try:
            await connection.execute(f'DROP DATABASE IF EXISTS "{self.name}" WITH (FORCE)')
        finally:
            await connection.close()
        await self._management("DELETE", f"/api/vhosts/{self.name}")

    async def _management(self, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        async with httpx.AsyncClient(base_url=self.servers.management_url, timeout=30) as client:
            (await client.request(method, path, json=body)).raise_for_status()

    def _url(self, role: str) -> str:
        # Roles belong to the whole server, so every sandbox must agree on their passwords: the name is as good as any.
        url = make_url(self.servers.postgres_url).set(username=role, password=f"{role}-test", database=self.name)
        return url.render_as_string(hide_password=False)

    def urls(self, schema: str) -> ServiceDatabase:
        """Return a service's URLs, made or not."""
        return ServiceDatabase(self._url(f"rappit_{schema}"), self._url(f"rappit_{schema}_owner"))

    async def prepare(self, module: str, schema: str) -> ServiceDatabase:
        """Provision and migrate a service's schema, once a sandbox."""
        if schema not in self._prepared:
            urls = self.urls(schema)
            await provision(self.admin_url, schema, owner_url=urls.owner_url, runtime_url=urls.runtime_url)
            await asyncio.to_thread(upgrade, module, urls.owner_url, schema)
            self._prepared[schema] = urls
        return self._prepared[schema]
