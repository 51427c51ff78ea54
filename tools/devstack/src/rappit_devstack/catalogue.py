"""The processes of a stack, in one table: what runs, on which port, with which environment."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rappit_devstack.ports import LOOPBACK
from rappit_devstack.state import Secrets


@dataclass(frozen=True)
class World:
    """What a process can be told: where everything is in this stack."""

    database_url: Callable[[str], str]
    """Role name to its URL of the stack's database."""
    admin_database_url: str
    rabbitmq_url: str
    redis_url: str
    ingress_url: str
    port: Callable[[str], int]
    """Process name to its port."""
    secrets: Secrets
    settings: Mapping[str, str] = field(default_factory=dict)
    """What every service is told besides."""

    def address(self, name: str) -> str:
        """Return a process's base URL, inside the ingress."""
        return f"http://{LOOPBACK}:{self.port(name)}"


Variables = Callable[[World], dict[str, str]]


def _nothing(_world: World) -> dict[str, str]:
    return {}


@dataclass(frozen=True)
class ProcessSpec:
    """One supervised process.

    Attributes:
        name: Its name in `ps`, in the logs and of its port.
        command: The program, looked for beside the Python that runs this, and its arguments; `{host}` and `{port}`
            are filled in.
        schema: Its schema in the database, when it has one; it is then provisioned and migrated first.
        variables: What only this process is told.
        settings: Whether it is a service, which reads the settings all services share.
        ready_path: Answers 200 when it can work.
    """

    name: str
    command: tuple[str, ...]
    schema: str | None = None
    variables: Variables = field(default=_nothing)
    settings: bool = True
    ready_path: str = "/health/ready"

    @property
    def program(self) -> str:
        """The program's name."""
        return self.command[0]

    def once(self, *subcommands: str) -> tuple[str, ...]:
        """Return the command with other subcommands in the place of `serve`."""
        return (*self.command[: self.command.index("serve")], *subcommands)

    def environment(self, world: World) -> dict[str, str]:
        """Return what the running process is told."""
        told: dict[str, str] = {"HTTP_HOST": LOOPBACK, "HTTP_PORT": str(world.port(self.name))}
        if self.settings:
            told |= {
                "ENVIRONMENT": "development",
                "LOG_LEVEL": "INFO",
                "RABBITMQ_URL": world.rabbitmq_url,
                "REDIS_URL": world.redis_url,
                "JWT_SECRET": world.secrets.password("JWT_SECRET"),
                "PUBLIC_BASE_URL": world.ingress_url,
                # The local ingress, and nobody else.
                "TRUSTED_PROXIES": f"{LOOPBACK}/32",
            }
        if self.schema:
            told["DATABASE_URL"] = world.database_url(f"rappit_{self.schema}")
        return {**told, **self.variables(world), **(world.settings if self.settings else {})}

    def migration_environment(self, world: World) -> dict[str, str]:
        """Return what `provision migrate` is told: more than the running process may know."""
        return {
            **self.environment(world),
            "ADMIN_DATABASE_URL": world.admin_database_url,
            "MIGRATION_DATABASE_URL": world.database_url(f"rappit_{self.schema}_owner"),
        }


def _encryption(world: World) -> dict[str, str]:
    return {"ENCRYPTION_KEY": world.secrets.key("ENCRYPTION_KEY")}


def _shipping(world: World) -> dict[str, str]:
    carriers = world.address(CARRIERS)
    return {**_encryption(world), "FEDEX_BASE_URL": f"{carriers}/fedex", "DHL_BASE_URL": f"{carriers}/dhl"}


def _console(world: World) -> dict[str, str]:
    return {
        "API_BASE_URL": world.ingress_url,
        "IDENTITY_BASE_URL": world.address(IDENTITY),
        "SESSION_SECRET": world.secrets.password("SESSION_SECRET"),
    }


IDENTITY = "identity"
CARRIERS = "carrier-double"
CHANNELS = "channel-double"
INGRESS = "ingress"

SERVICES: tuple[ProcessSpec, ...] = (
    ProcessSpec(IDENTITY, ("rappit-identity", "serve"), schema="identity"),
    ProcessSpec("webhook-gateway", ("rappit-webhook-gateway", "serve"), schema="gateway", variables=_encryption),
    ProcessSpec("orders", ("rappit-orders", "serve"), schema="orders"),
    ProcessSpec("inventory", ("rappit-inventory", "serve"), schema="inventory"),
    ProcessSpec("shipping", ("rappit-shipping", "serve"), schema="shipping", variables=_shipping),
    ProcessSpec("console", ("rappit-console", "serve"), variables=_console),
)
DOUBLES: tuple[ProcessSpec, ...] = (
    ProcessSpec(CARRIERS, ("rappit-doubles", "carriers", "--host", "{host}", "--port", "{port}"), settings=False),
    ProcessSpec(CHANNELS, ("rappit-doubles", "channels", "--host", "{host}", "--port", "{port}"), settings=False),
)
CATALOGUE: tuple[ProcessSpec, ...] = SERVICES + DOUBLES


def upstreams(world: World) -> Mapping[str, str]:
    """Return the ingress template's `*_UPSTREAM` values."""
    return {
        f"{spec.name.upper().replace('-', '_')}_UPSTREAM": f"{LOOPBACK}:{world.port(spec.name)}" for spec in SERVICES
    }
