"""A private Redis."""

from typing import Any
from urllib.parse import quote

import redis

from rappit_devstack.ports import LOOPBACK
from rappit_devstack.server import PrivateServer

DATABASES = 256
TIMEOUT_S = 2.0


class Redis(PrivateServer):
    """Redis for counters and caches: nothing in it must survive, so nothing is saved."""

    name = "redis"

    def url(self) -> str:
        """The URL of database 0."""
        password = quote(self.place.secrets.password("REDIS_PASSWORD"), safe="")
        return f"redis://:{password}@{LOOPBACK}:{self.port(self.name)}/0"

    def prepare(self) -> list[str]:
        """Write the configuration and return the server's command."""
        config = self.folder / "redis.conf"
        config.touch(mode=0o600)
        config.write_text(
            f"""\
bind {LOOPBACK}
port {self.place.state.port(self.name)}
requirepass {self.place.secrets.password("REDIS_PASSWORD")}
dir "{self.folder}"
databases {DATABASES}
save ""
appendonly no
daemonize no
"""
        )
        return [self.programs["redis-server"], str(config)]

    def is_ready(self) -> bool:
        """Whether the server that takes our password runs in our folder."""
        client: Any = redis.Redis.from_url(  # pyright: ignore[reportUnknownMemberType] - untyped there
            self.url(), socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, decode_responses=True
        )
        try:
            return bool(client.config_get("dir") == {"dir": str(self.folder)})
        except (redis.RedisError, OSError):
            return False
        finally:
            client.close()
