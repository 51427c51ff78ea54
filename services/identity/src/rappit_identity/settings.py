"""What the environment tells this service."""

from datetime import timedelta

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict
from rappit_common.settings import StatefulSettings


class IdentitySettings(StatefulSettings):
    """Settings of the process."""

    # Identity publishes and consumes nothing: this is never read, and RABBITMQ_URL need not be set.
    rabbitmq_url: SecretStr = SecretStr("")
    body_limit_bytes: int = Field(default=64 * 1024, ge=1024)
    access_token_lifetime_s: int = Field(default=900, ge=60, le=3_600)
    refresh_token_lifetime_days: int = Field(default=30, ge=1, le=365)
    auth_limit_per_minute: int = Field(default=60, ge=1, le=100_000)

    @property
    def access_token_lifetime(self) -> timedelta:
        """How long an access token is good for."""
        return timedelta(seconds=self.access_token_lifetime_s)

    @property
    def refresh_token_lifetime(self) -> timedelta:
        """How long a session lasts without being continued."""
        return timedelta(days=self.refresh_token_lifetime_days)


class OperatorSettings(BaseSettings):
    """What ``create-operator`` needs, and nothing else."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    database_url: SecretStr
    operator_email: str
    operator_password: SecretStr
