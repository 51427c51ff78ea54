"""HTTP bodies of the channels' API."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from rappit_gateway.domain.channels import Provider
from rappit_gateway.models import Channel
from rappit_gateway.service.channels import ConnectChannel

MAX_GIVEN_SECRET_CHARACTERS = 1_000
DAY_S = 86_400

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)]
GivenSecret = Annotated[
    SecretStr | None,
    Field(
        max_length=MAX_GIVEN_SECRET_CHARACTERS,
        description="What the shop signs with. Left out, one is generated and shown once; Shopify chooses its own.",
    ),
]


class ChannelCreate(BaseModel):
    """A shop to connect."""

    model_config = ConfigDict(extra="forbid")

    provider: Provider
    name: Name
    secret: GivenSecret = None
    shop_domain: str | None = Field(default=None, max_length=255, description="Shopify: `my-shop.myshopify.com`.")
    source: str | None = Field(
        default=None, max_length=255, description="WooCommerce: the site's address, to accept webhooks of no other."
    )

    def to_command(self) -> ConnectChannel:
        """Return what the use case takes."""
        return ConnectChannel(
            provider=self.provider,
            name=self.name,
            secret=self.secret.get_secret_value() if self.secret else None,
            shop_domain=self.shop_domain,
            source=self.source,
        )


class SecretCreate(BaseModel):
    """A new secret for a channel."""

    model_config = ConfigDict(extra="forbid")

    secret: GivenSecret = None
    previous_valid_for_s: int = Field(
        default=3_600, ge=0, le=7 * DAY_S, description="How long the secrets before still hold, in seconds."
    )


class SecretRead(BaseModel):
    """That a secret exists; its value is never shown again."""

    id: UUID
    created_at: datetime
    expires_at: datetime | None


class ChannelRead(BaseModel):
    """A connected shop."""

    id: UUID
    provider: Provider
    name: str
    shop_domain: str | None
    source: str | None
    webhook_url: str
    status: str = Field(description="`active` or `deactivated`.")
    created_at: datetime
    deactivated_at: datetime | None
    secrets: list[SecretRead]


class ChannelCreated(ChannelRead):
    """A connected shop, with the secret that was generated for it."""

    secret: str | None = Field(default=None, description="Shown this once, and only when it was generated here.")


def describe(channel: Channel, public_base_url: str) -> ChannelRead:
    """Return a channel as its owner sees it."""
    provider = Provider(channel.provider)
    return ChannelRead(
        id=channel.id,
        provider=provider,
        name=channel.name,
        shop_domain=channel.source if provider is Provider.SHOPIFY else None,
        source=channel.source if provider is Provider.WOOCOMMERCE else None,
        webhook_url=f"{public_base_url}/webhooks/{channel.id}",
        status="active" if channel.deactivated_at is None else "deactivated",
        created_at=channel.created_at,
        deactivated_at=channel.deactivated_at,
        secrets=[
            SecretRead(id=secret.id, created_at=secret.created_at, expires_at=secret.expires_at)
            for secret in channel.secrets
        ],
    )
