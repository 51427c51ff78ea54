"""Settings: one frozen class a service, read by the composition roots only."""

import base64
import binascii
import ipaddress
import sys
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

EXIT_CONFIGURATION = 78  # EX_CONFIG of sysexits.h
MIN_SECRET_CHARACTERS = 32
MIN_DISTINCT_CHARACTERS = 8
ENCRYPTION_KEY_BYTES = 32

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


def _strong(secret: SecretStr) -> SecretStr:
    value = secret.get_secret_value()
    if len(value) < MIN_SECRET_CHARACTERS or len(set(value)) < MIN_DISTINCT_CHARACTERS:
        message = (
            f"is too weak: give at least {MIN_SECRET_CHARACTERS} random characters, "
            'for example from: python3 -c "import secrets; print(secrets.token_urlsafe(48))"'
        )
        raise ValueError(message)
    return secret


def _encryption_key(secret: SecretStr) -> SecretStr:
    try:
        size = len(base64.urlsafe_b64decode(secret.get_secret_value()))
    except (ValueError, binascii.Error):
        size = 0
    if size != ENCRYPTION_KEY_BYTES:
        message = (
            f"must be {ENCRYPTION_KEY_BYTES} random bytes in URL-safe base64, for example from: "
            'python3 -c "import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())"'
        )
        raise ValueError(message)
    return secret


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


StrongSecret = Annotated[SecretStr, AfterValidator(_strong)]
"""A secret of at least 32 characters; there is never a default for one."""

EncryptionKey = Annotated[SecretStr, AfterValidator(_encryption_key)]
"""32 random bytes in URL-safe base64."""

CommaSeparatedNetworks = Annotated[tuple[IPNetwork, ...], NoDecode, BeforeValidator(_split)]


class ProcessSettings(BaseSettings):
    """What every process is told by its environment. Names are the variables' names in lower case."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    environment: str = "production"
    log_level: str = "INFO"
    http_host: str = "0.0.0.0"  # noqa: S104 - a service in its own container listens on all of it
    http_port: int = Field(default=8000, ge=1, le=65_535)
    trusted_proxies: CommaSeparatedNetworks = ()
    body_limit_bytes: int = Field(default=11 * 1024 * 1024, ge=1024)
    shutdown_timeout_s: int = Field(default=12, ge=1, le=120)
    trace_sample_ratio: float = Field(default=1.0, ge=0, le=1)
    otel_exporter_otlp_endpoint: str | None = None


class ServiceSettings(ProcessSettings):
    """A service that verifies who is asking."""

    jwt_secret: StrongSecret
    jwt_secret_previous: StrongSecret | None = None


class StatefulSettings(ServiceSettings):
    """A service that owns a schema, talks over the broker and shares limits through Redis."""

    database_url: SecretStr
    rabbitmq_url: SecretStr
    redis_url: SecretStr
    database_pool_size: int = Field(default=10, ge=1, le=100)
    database_pool_timeout_s: float = Field(default=5, gt=0, le=60)
    statement_timeout_s: float = Field(default=30, gt=0, le=600)
    relay_batch_rows: int = Field(default=200, ge=1, le=2_000)
    relay_batch_bytes: int = Field(default=16 * 1024 * 1024, ge=64 * 1024, le=256 * 1024 * 1024)
    relay_poll_s: float = Field(default=0.1, gt=0, le=60)
    publish_timeout_s: float = Field(default=5, gt=0, le=60)
    consumer_prefetch: int = Field(default=32, ge=1, le=1_000)
    inbox_keep_days: int = Field(default=7, ge=2, le=365)
    retry_delays_s: Annotated[tuple[float, ...], NoDecode, BeforeValidator(_split)] = (5.0, 30.0)
    requeue_answer_timeout_s: float = Field(default=90, gt=0, le=24 * 3600)
    dead_letter_keep_days: int = Field(default=30, ge=1, le=3_650)


SettingsT = TypeVar("SettingsT", bound=BaseSettings)


def load_settings(kind: type[SettingsT], **values: Any) -> SettingsT:
    """Read the environment, or end the process with a sentence for each variable that is missing or unfit.

    Raises:
        SystemExit: With status 78; no secret's value is ever printed.
    """
    try:
        return kind(**values)
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):
            name = "_".join(str(part) for part in problem["loc"][:1]).upper()
            missing = problem["type"] == "missing"
            reason = (
                "is not set; Rappit has no default for it" if missing else problem["msg"].removeprefix("Value error, ")
            )
            sys.stderr.write(f"{name} {reason}\n")
        raise SystemExit(EXIT_CONFIGURATION) from None
