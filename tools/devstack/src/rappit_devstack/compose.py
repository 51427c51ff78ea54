"""The servers as containers, where a Docker engine and Compose answer.

The contract with docker-compose.yml: services `postgres`, `rabbitmq` and `redis` with health checks, whose passwords
and published loopback ports come from the variables set in `Project.environment`.
"""

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rappit_devstack import state as states
from rappit_devstack.ports import LOOPBACK
from rappit_devstack.state import Secrets, State

SERVICES = ("postgres", "rabbitmq", "redis")
PORTS = {"postgres": 5432, "rabbitmq": 5672, "rabbitmq_management": 15672, "redis": 6379}
ASK_TIMEOUT_S = 15
UP_TIMEOUT_S = 300
USER = "rappit"
REQUIRED = re.compile(r"\$\{([A-Z0-9_]+):\?")
"""A variable without which Compose refuses the file: a secret, all of them."""


def compose_file() -> Path:
    """The project's Compose file."""
    return states.PROJECT / "docker-compose.yml"


def available() -> bool:
    """Whether a Docker engine and Compose both answer, and there is a file to bring up."""
    if not compose_file().exists() or shutil.which("docker") is None:
        return False
    return all(_succeeds(["docker", *words]) for words in (["info"], ["compose", "version"]))


def _succeeds(argv: list[str]) -> bool:
    try:
        asked = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=ASK_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


@dataclass(frozen=True)
class Project:
    """One stack's Compose project."""

    folder: Path
    state: State
    secrets: Secrets

    @property
    def name(self) -> str:
        """A name that no other stack of any clone has."""
        place = hashlib.sha256(str(self.folder).encode()).hexdigest()[:8]
        readable = re.sub(r"[^a-z0-9]+", "-", self.folder.name.lower()).strip("-")
        return f"rappit-{readable}-{place}"

    @property
    def remembered(self) -> bool:
        """Whether this stack's servers are containers."""
        return self.state.get("way") == "compose"

    def environment(self) -> dict[str, str]:
        """What docker-compose.yml is told; the services' secrets too, since Compose reads the whole file."""
        ports = {f"{name.upper()}_PORT": str(self.state.known_port(name)) for name in PORTS}
        keys = {"ENCRYPTION_KEY": self.secrets.key("ENCRYPTION_KEY"), "RABBITMQ_USER": USER}
        required = REQUIRED.findall(compose_file().read_text())
        names = {f"{server.upper()}_PASSWORD" for server in SERVICES}.union(required) - keys.keys()
        passwords = {name: self.secrets.password(name) for name in sorted(names)}
        return {**os.environ, **ports, **passwords, **keys}

    def up(self, say: Callable[[str], None]) -> dict[str, str] | None:
        """Start the containers and return the administrators' URLs; None, and a sentence said, when they fail."""
        if not self.remembered:
            for name in PORTS:
                self.state.port(name)
        say("PostgreSQL, RabbitMQ and Redis: starting as containers with Docker Compose")
        result = self._run("up", "--detach", "--wait", *SERVICES)
        if result.returncode != 0:
            reason = (result.stdout.strip().splitlines() or ["no reason given"])[-1]
            say(f"Docker Compose could not start them ({reason[:200]}): going on without Docker")
            self._run("down", "--volumes")
            return None
        self.state.put(way="compose")
        known = {name: self.state.known_port(name) for name in PORTS}
        login = f"{USER}:{self.secrets.password('RABBITMQ_PASSWORD')}"
        superuser = f"postgres:{self.secrets.password('POSTGRES_PASSWORD')}"
        return {
            "postgres": f"postgresql://{superuser}@{LOOPBACK}:{known['postgres']}/postgres",
            "rabbitmq": f"amqp://{login}@{LOOPBACK}:{known['rabbitmq']}/%2F",
            "rabbitmq_management": f"http://{login}@{LOOPBACK}:{known['rabbitmq_management']}",
            "redis": f"redis://:{self.secrets.password('REDIS_PASSWORD')}@{LOOPBACK}:{known['redis']}/0",
        }

    def stop(self) -> None:
        """Stop the containers; their volumes stay."""
        self._run("stop")

    def remove(self) -> None:
        """Remove the containers with their volumes."""
        self._run("down", "--volumes")

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = ["docker", "compose", "--project-name", self.name, "--file", str(compose_file()), *words]
        try:
            return subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=self.environment(),
                cwd=states.PROJECT,
                timeout=UP_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(argv, 1, f"no answer within {UP_TIMEOUT_S} s")
