"""HTTP bodies of the channels' API."""

import base64
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from rappit_gateway.domain.channels import Provider
from rappit_gateway.domain.deliveries import DeliveryStatus
from rappit_gateway.domain.hmac_options import DEFAULT_SIGNATURE_HEADER, HmacAlgorithm, HmacOptions, SignatureEncoding
from rappit_gateway.models import Channel, WebhookBody, WebhookDelivery
from rappit_gateway.repository.deliveries import DeliveryFilter
from rappit_gateway.service.channels import ChangeChannel, ConnectChannel, hmac_options

MAX_GIVEN_SECRET_CHARACTERS = 1_000
MAX_QUOTA_PER_MINUTE = 1_000_000
DAY_S = 86_400

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)]
GivenSecret = Annotated[
    SecretStr | None,
    Field(
        max_length=MAX_GIVEN_SECRET_CHARACTERS,
        description=(
            "What the shop signs with. Left out, one is generated and shown once; Shopify chooses its own. Standard"
            " Webhooks: `whsec_…`, or the sender's ed25519 public key, `whpk_…`."
        ),
    ),
]
Quota = Annotated[
    int | None,
    Field(
        ge=1,
        le=MAX_QUOTA_PER_MINUTE,
        description="Verified webhooks a minute; beyond it they are answered with 429. Null for the usual number.",
    ),
]
HeaderName = Annotated[str | None, Field(max_length=255)]


class HmacOptionsBody(BaseModel):
    """How a generic channel signs. What is left out is as usual, or stays as it is when a channel is changed."""

    model_config = ConfigDict(extra="forbid")

    signature_header: str = Field(default=DEFAULT_SIGNATURE_HEADER, max_length=255)
    algorithm: HmacAlgorithm = Field(
        default=HmacAlgorithm.SHA256,
        description="Under the HMAC. `sha1` is weak: take it only where the platform offers nothing else.",
    )
    encoding: SignatureEncoding = Field(
        default=SignatureEncoding.HEX, description="Of the signature. `hex` may be in either case."
    )
    prefix: str = Field(default="", max_length=255, description="What stands before the signature: `sha256=`.")
    id_header: HeaderName = Field(
        default=None,
        description="Holds an id that each delivery has of its own and keeps when it is repeated: deliveries with"
        " the same id are one. Without it, deliveries with the same body are one.",
    )
    topic_header: HeaderName = Field(default=None, description="Holds the topic, to find deliveries by.")
    timestamp_header: HeaderName = Field(
        default=None,
        description="Holds the second of the epoch when it was signed. With it `{timestamp}.{body}` is what is signed,"
        " and a webhook more than five minutes away is refused.",
    )

    @classmethod
    def of(cls, options: HmacOptions) -> "HmacOptionsBody":
        """Return options as the API shows them."""
        return cls.model_validate(options, from_attributes=True)

    def given(self) -> dict[str, Any]:
        """Return what was said, without what was left out."""
        return self.model_dump(exclude_unset=True)


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
    hmac: HmacOptionsBody | None = Field(default=None, description="Generic HMAC: how it signs.")
    quota_per_minute: Quota = None

    def to_command(self) -> ConnectChannel:
        """Return what the use case takes."""
        return ConnectChannel(
            provider=self.provider,
            name=self.name,
            secret=self.secret.get_secret_value() if self.secret else None,
            shop_domain=self.shop_domain,
            source=self.source,
            hmac=None if self.hmac is None else self.hmac.given(),
            quota_per_minute=self.quota_per_minute,
        )


class ChannelChange(BaseModel):
    """What shall differ; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    hmac: HmacOptionsBody | None = Field(default=None, description="Generic HMAC: the options that change.")
    quota_per_minute: Quota = None

    def to_command(self) -> ChangeChannel:
        """Return what the use case takes."""
        return ChangeChannel(
            name=self.name,
            hmac=None if self.hmac is None else self.hmac.given(),
            changes_quota="quota_per_minute" in self.model_fields_set,
            quota_per_minute=self.quota_per_minute,
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
    hmac: HmacOptionsBody | None = Field(description="How a generic channel signs.")
    quota_per_minute: int = Field(description="Verified webhooks a minute.")
    webhook_url: str
    status: str = Field(description="`active` or `deactivated`.")
    created_at: datetime
    deactivated_at: datetime | None
    secrets: list[SecretRead]


class ChannelCreated(ChannelRead):
    """A connected shop, with the secret that was generated for it."""

    secret: str | None = Field(default=None, description="Shown this once, and only when it was generated here.")


def describe(channel: Channel, *, public_base_url: str, usual_quota_per_minute: int) -> ChannelRead:
    """Return a channel as its owner sees it."""
    provider = Provider(channel.provider)
    return ChannelRead(
        id=channel.id,
        provider=provider,
        name=channel.name,
        shop_domain=channel.source if provider is Provider.SHOPIFY else None,
        source=channel.source if provider is Provider.WOOCOMMERCE else None,
        hmac=HmacOptionsBody.of(hmac_options(channel.options)) if provider is Provider.GENERIC_HMAC else None,
        quota_per_minute=channel.quota_per_minute or usual_quota_per_minute,
        webhook_url=f"{public_base_url}/webhooks/{channel.id}",
        status="active" if channel.deactivated_at is None else "deactivated",
        created_at=channel.created_at,
        deactivated_at=channel.deactivated_at,
        secrets=[
            SecretRead(id=secret.id, created_at=secret.created_at, expires_at=secret.expires_at)
            for secret in channel.secrets
        ],
    )


class DeliveryRead(BaseModel):
    """A webhook that reached one of your channels, and what became of it."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID = Field(description="Also the id that the webhook was answered with.")
    channel_id: UUID
    provider: str
    topic: str
    delivery_id: str = Field(description="The provider's own; may be empty, or repeat.")
    dedupe_key: str | None
    source: str | None
    status: DeliveryStatus
    cause: str | None = Field(description="Stable name of why it was rejected or dead-lettered.")
    detail: str | None = Field(description="The same as a sentence, or why it was ignored.")
    external_order_id: str | None
    order_id: UUID | None
    received_at: datetime
    settled_at: datetime | None
    body_bytes: int | None = Field(description="As received; of a rejected one as announced.")
    spooled: bool = Field(description="Whether it went through PostgreSQL, since the broker was away.")
    trace_id: str | None
    client: str | None = Field(description="The source address of a rejected one.")
    left_out: int = Field(description="Rejected ones of this channel without a row, since the one before this.")
    replay_of: UUID | None = Field(description="The delivery that this one runs again.")


class DeliveryDetail(DeliveryRead):
    """A delivery whole, with what it said as long as that is kept."""

    headers: dict[str, Any] | None
    body: str | None = Field(description="Its text, or base64 when `body_encoding` says so.")
    body_encoding: str | None

    @classmethod
    def of(cls, delivery: WebhookDelivery, kept: WebhookBody | None) -> "DeliveryDetail":
        """Return it as its owner sees it."""
        read = DeliveryRead.model_validate(delivery).model_dump()
        if kept is None:
            return cls(**read, headers=None, body=None, body_encoding=None)
        try:
            body, encoding = kept.body.decode(), "utf-8"
        except UnicodeDecodeError:
            body, encoding = base64.b64encode(kept.body).decode(), "base64"
        return cls(**read, headers=kept.headers, body=body, body_encoding=encoding)


Reason = Annotated[str, Field(min_length=1, max_length=500, description="For the audit log.")]


class DeliveryReplay(BaseModel):
    """How to run one delivery again."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason = "requested"


class DeliverySet(BaseModel):
    """Which deliveries; at least one of these must be named."""

    model_config = ConfigDict(extra="forbid")

    channel_id: UUID | None = None
    topic: str | None = Field(default=None, max_length=255)
    status: list[DeliveryStatus] = Field(default=[], max_length=len(DeliveryStatus))
    cause: str | None = Field(default=None, max_length=300)
    external_order_id: str | None = Field(default=None, max_length=255)
    since: AwareDatetime | None = None
    before: AwareDatetime | None = None

    def to_filter(self) -> DeliveryFilter:
        """Return what the use case takes."""
        return DeliveryFilter(
            channel_id=self.channel_id,
            topic=self.topic,
            statuses=tuple(dict.fromkeys(self.status)),
            cause=self.cause,
            external_order_id=self.external_order_id,
            since=self.since,
            before=self.before,
        )


class DeliverySetReplay(BaseModel):
    """How to run a filtered set again."""

    model_config = ConfigDict(extra="forbid")

    filter: DeliverySet
    dry_run: bool = Field(default=False, description="Only say what would run.")
    cursor: str | None = Field(default=None, max_length=512, description="`next_cursor` of the call before.")
    reason: Reason = "requested"


class DeliverySetReplayed(BaseModel):
    """What became of the wish. A call looks at 1,000 deliveries at most, newest first; `more` says that older match."""

    dry_run: bool
    matched: int
    replayed: int = Field(description="Run again; in a dry run, how many would be.")
    under_way: int = Field(description="Whose replay is under way already: not sent a second time.")
    without_body: int = Field(description="Whose body is not kept any more.")
    more: bool
    next_cursor: str | None
