"""Use cases of channels: connect, change, rotate a secret, disconnect."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from rappit_common.clock import new_id
from rappit_common.crypto import SecretBox
from rappit_common.errors import ConflictError, NotFoundError

from rappit_gateway.domain.channels import (
    KnownChannel,
    Provider,
    generate_secret,
    shop_domain,
    signing_key,
    site_address,
)
from rappit_gateway.domain.hmac_options import HmacAlgorithm, HmacOptions, InvalidHmacOptionsError, SignatureEncoding
from rappit_gateway.models import Channel, ChannelSecret
from rappit_gateway.unit import GatewayUnit

MAX_SECRETS = 5


class ChannelNotFoundError(NotFoundError):
    """This organization has no such channel."""

    code = "channel_not_found"


class ChannelExistsError(ConflictError):
    """The shop is connected already; a second channel would import each of its orders twice."""

    code = "channel_exists"


class ChannelDeactivatedError(ConflictError):
    """The channel was disconnected."""

    code = "channel_deactivated"


class TooManySecretsError(ConflictError):
    """Several rotations are still under way."""

    code = "too_many_secrets"


@dataclass(frozen=True, slots=True)
class ConnectChannel:
    """A shop that shall send webhooks.

    Attributes:
        provider: Its wire format.
        name: For people.
        secret: What it signs with; None to have one generated.
        shop_domain: Of a Shopify shop.
        source: Address of a WooCommerce site; its webhooks are bound to it when given.
        hmac: How a generic channel signs, as far as it differs from the usual.
        quota_per_minute: Verified webhooks that it may send; None for the usual number.
    """

    provider: Provider
    name: str
    secret: str | None = None
    shop_domain: str | None = None
    source: str | None = None
    hmac: Mapping[str, Any] | None = None
    quota_per_minute: int | None = None


@dataclass(frozen=True, slots=True)
class ChangeChannel:
    """What shall differ.

    Attributes:
        name: The new one; None to keep it.
        hmac: The options of a generic channel that change; None to keep them.
        changes_quota: Whether ``quota_per_minute`` is meant.
        quota_per_minute: The new one; None for the usual number.
    """

    name: str | None = None
    hmac: Mapping[str, Any] | None = None
    changes_quota: bool = False
    quota_per_minute: int | None = None


@dataclass(frozen=True, slots=True)
class ConnectedChannel:
    """A channel, and the secret that was generated for it, to be shown this once."""

    channel: Channel
    generated_secret: str | None


def _source_of(command: ConnectChannel) -> str | None:
    if command.provider is Provider.SHOPIFY:
        return shop_domain(command.shop_domain)
    if command.provider is Provider.WOOCOMMERCE:
        return site_address(command.source)
    return None


def hmac_options(stored: Mapping[str, Any] | None) -> HmacOptions:
    """Return how a generic channel signs, from what is stored of it.

    Raises:
        InvalidHmacOptionsError: They cannot be meant.
    """
    options = dict(stored or {})
    if "algorithm" in options:
        options["algorithm"] = HmacAlgorithm(options["algorithm"])
    if "encoding" in options:
        options["encoding"] = SignatureEncoding(options["encoding"])
    return HmacOptions(**options)


def _options_of(
    provider: Provider, given: Mapping[str, Any] | None, stored: Mapping[str, Any] | None = None
) -> dict[str, Any] | None:
    if provider is Provider.GENERIC_HMAC:
        # Kept whole, so that a default that changes one day changes no channel that was connected before.
        return asdict(hmac_options({**(stored or {}), **(given or {})}))
    if given is not None:
        raise InvalidHmacOptionsError(
            f"Only channels of {Provider.GENERIC_HMAC.value} have `hmac` options: {provider.value} always signs in the"
            " same way.",
            field="hmac",
        )
    return None


def _encrypted(unit: GatewayUnit, channel_id: UUID, secret: str, box: SecretBox, now: datetime) -> ChannelSecret:
    return ChannelSecret(
        id=new_id(),
        organization_id=unit.organization_id,
        channel_id=channel_id,
        ciphertext=box.encrypt(secret),
        created_at=now,
        expires_at=None,
    )


async def connect_channel(
    unit: GatewayUnit, command: ConnectChannel, *, box: SecretBox, now: datetime
) -> ConnectedChannel:
    """Let a shop send webhooks.

    Raises:
        ChannelExistsError: The shop is connected already.
        InvalidHmacOptionsError: Nobody can sign as the options say.
        InvalidSourceError: The shop's domain or the site's address cannot be right.
        MalformedSecretError: The secret is not in the provider's form.
        SecretRequiredError: The provider chooses the secret.
        WeakSecretError: The secret could be guessed.
    """
    source = _source_of(command)
    options = _options_of(command.provider, command.hmac)
    generated = None if command.secret else generate_secret(command.provider)
    secret = command.secret or generated or ""
    signing_key(command.provider, secret)
    if source is not None:
        existing = await unit.channels.find_live_by_source(command.provider.value, source)
        if existing is not None:
            raise ChannelExistsError(
                f"{source} is connected already, as “{existing.name}”: rotate that channel's secret, or disconnect it"
                " first.",
                channel_id=str(existing.id),
            )
    channel = Channel(
        id=new_id(),
        provider=command.provider.value,
        name=command.name,
        source=source,
        options=options,
        quota_per_minute=command.quota_per_minute,
        created_at=now,
    )
    channel.secrets = [_encrypted(unit, channel.id, secret, box, now)]
    await unit.channels.add(channel)
    unit.changed_channels.add(channel.id)
    return ConnectedChannel(channel, generated)


async def change_channel(unit: GatewayUnit, channel_id: UUID, change: ChangeChannel) -> Channel:
    """Change a channel's name, quota or, if it is a generic one, the way it signs.

    Raises:
        ChannelNotFoundError: This organization has no such channel.
        ChannelDeactivatedError: It was disconnected.
        InvalidHmacOptionsError: Nobody can sign as the options say.
    """
    # Locked: two changes at once of different options must both be there in the end.
    channel = await _find_live(unit, channel_id)
    if change.name is not None:
        channel.name = change.name
    if change.hmac is not None:
        channel.options = _options_of(Provider(channel.provider), change.hmac, channel.options)
    if change.changes_quota:
        channel.quota_per_minute = change.quota_per_minute
    await unit.channels.flush()
    unit.changed_channels.add(channel.id)
    return channel


async def rotate_secret(
    unit: GatewayUnit,
    channel_id: UUID,
    secret: str | None,
    *,
    previous_valid_for: timedelta,
    box: SecretBox,
    now: datetime,
) -> ConnectedChannel:
    """Give a channel a new secret; the ones before hold for a while, so that no webhook on its way is refused.

    Raises:
        ChannelNotFoundError: This organization has no such channel.
        ChannelDeactivatedError: It was disconnected.
        TooManySecretsError: Several rotations are still under way.
        MalformedSecretError: The secret is not in the provider's form.
        SecretRequiredError: The provider chooses the secret.
        WeakSecretError: The secret could be guessed.
    """
    # Locked: of two rotations at once, the later must see the earlier's secret to let it expire.
    channel = await _find_live(unit, channel_id)
    provider = Provider(channel.provider)
    generated = None if secret else generate_secret(provider)
    signing_key(provider, secret or generated or "")
    live = [kept for kept in channel.secrets if kept.expires_at is None or kept.expires_at > now]
    if len(live) >= MAX_SECRETS:
        raise TooManySecretsError(
            f"{MAX_SECRETS} secrets of this channel still hold: wait until the oldest expires.",
            expires_at=min(kept.expires_at for kept in live if kept.expires_at is not None).isoformat(),
        )
    until = now + previous_valid_for
    for kept in live:
        if kept.expires_at is None or kept.expires_at > until:
            kept.expires_at = until
    fresh = _encrypted(unit, channel.id, secret or generated or "", box, now)
    channel.secrets = [*live, fresh]
    await unit.channels.flush()
    unit.changed_channels.add(channel.id)
    return ConnectedChannel(channel, generated)


async def disconnect_channel(unit: GatewayUnit, channel_id: UUID, *, now: datetime) -> None:
    """Refuse a channel's webhooks from now on; what was accepted stays. Repeating it changes nothing.

    Raises:
        ChannelNotFoundError: This organization has no such channel.
    """
    channel = await _find(unit, channel_id, for_update=True)
    if channel.deactivated_at is None:
        channel.deactivated_at = now
        unit.changed_channels.add(channel.id)


async def show_channel(unit: GatewayUnit, channel_id: UUID) -> Channel:
    """Return one channel.

    Raises:
        ChannelNotFoundError: This organization has no such channel.
    """
    return await _find(unit, channel_id)


async def list_channels(unit: GatewayUnit, *, rows: int, before: UUID | None) -> Sequence[Channel]:
    """Return channels, newest first, disconnected ones too."""
    return await unit.channels.page(rows=rows, before=before)


async def _find(unit: GatewayUnit, channel_id: UUID, *, for_update: bool = False) -> Channel:
    channel = await unit.channels.find(channel_id, for_update=for_update)
    if channel is None:
        raise ChannelNotFoundError("You have no such channel.", channel_id=str(channel_id))
    return channel


async def _find_live(unit: GatewayUnit, channel_id: UUID) -> Channel:
    channel = await _find(unit, channel_id, for_update=True)
    if channel.deactivated_at is not None:
        raise ChannelDeactivatedError("This channel was disconnected: connect the shop anew.")
    return channel


async def know_channel(unit: GatewayUnit, channel_id: UUID, *, box: SecretBox) -> KnownChannel | None:
    """Return what the hot path needs of a channel of any tenant; None when there is none.

    Raises:
        UndecryptableError: Its secrets were encrypted with a key that this process was not given.
    """
    channel = await unit.channels.find(channel_id)
    if channel is None:
        return None
    provider = Provider(channel.provider)
    keys = tuple(
        signing_key(
            provider,
            box.decrypt(secret.ciphertext),
            None if secret.expires_at is None else secret.expires_at.timestamp(),
        )
        # Newest first: it is the likeliest.
        for secret in reversed(channel.secrets)
    )
    return KnownChannel(
        channel_id=channel.id,
        organization_id=channel.organization_id,
        provider=provider,
        source=channel.source,
        keys=keys,
        is_active=channel.deactivated_at is None,
        hmac=hmac_options(channel.options) if provider is Provider.GENERIC_HMAC else None,
        quota_per_minute=channel.quota_per_minute,
    )
