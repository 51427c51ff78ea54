"""The merchant's API of channels."""

from datetime import timedelta
from uuid import UUID

from fastapi import APIRouter
from rappit_common.pagination import (
    DEFAULT_PAGE_ROWS,
    InvalidCursorError,
    Page,
    PageCursor,
    PageLimit,
    decode_id_cursor,
    encode_cursor,
)
from rappit_common.web.auth import InvalidTokenError, MissingRoleError
from rappit_common.web.problems import errors

from rappit_gateway.domain.channels import (
    InvalidSourceError,
    MalformedSecretError,
    SecretRequiredError,
    WeakSecretError,
)
from rappit_gateway.domain.hmac_options import InvalidHmacOptionsError
from rappit_gateway.endpoints.dependencies import Api, Now, ReadingUnit, WritingUnit
from rappit_gateway.models import Channel
from rappit_gateway.schemas import ChannelChange, ChannelCreate, ChannelCreated, ChannelRead, SecretCreate, describe
from rappit_gateway.service import channels as service

_SECRET_ERRORS = (MalformedSecretError, SecretRequiredError, WeakSecretError)

router = APIRouter(prefix="/channels", tags=["channels"], responses=errors(InvalidTokenError, MissingRoleError))


def _shown(channel: Channel, api: Api) -> ChannelRead:
    return describe(channel, public_base_url=api.public_base_url, usual_quota_per_minute=api.usual_quota_per_minute)


def _shown_once(connected: service.ConnectedChannel, api: Api) -> ChannelCreated:
    read = _shown(connected.channel, api)
    return ChannelCreated(**read.model_dump(), secret=connected.generated_secret)


@router.post(
    "",
    status_code=201,
    responses=errors(service.ChannelExistsError, InvalidSourceError, InvalidHmacOptionsError, *_SECRET_ERRORS),
)
async def connect_channel(body: ChannelCreate, unit: WritingUnit, api: Api, now: Now) -> ChannelCreated:
    """Connect a shop: give it the `webhook_url` of the answer, and the secret when one was generated."""
    return _shown_once(await service.connect_channel(unit, body.to_command(), box=api.box, now=now), api)


@router.get("", responses=errors(InvalidCursorError))
async def list_channels(
    unit: ReadingUnit, api: Api, limit: PageLimit = DEFAULT_PAGE_ROWS, cursor: PageCursor = None
) -> Page[ChannelRead]:
    """List your channels, newest first, disconnected ones too."""
    before = decode_id_cursor(cursor) if cursor else None
    found = await service.list_channels(unit, rows=limit + 1, before=before)
    following = encode_cursor(str(found[limit - 1].id)) if len(found) > limit else None
    return Page(items=[_shown(channel, api) for channel in found[:limit]], next_cursor=following)


@router.get("/{channel_id}", responses=errors(service.ChannelNotFoundError))
async def show_channel(channel_id: UUID, unit: ReadingUnit, api: Api) -> ChannelRead:
    """Show one channel."""
    return _shown(await service.show_channel(unit, channel_id), api)


@router.patch(
    "/{channel_id}",
    responses=errors(service.ChannelNotFoundError, service.ChannelDeactivatedError, InvalidHmacOptionsError),
)
async def change_channel(channel_id: UUID, body: ChannelChange, unit: WritingUnit, api: Api) -> ChannelRead:
    """Change a channel's name, its quota, or how a generic one signs; what is left out stays.

    Other processes of the gateway follow within half a minute, and at once when a signature does not fit.
    """
    return _shown(await service.change_channel(unit, channel_id, body.to_command()), api)


@router.delete("/{channel_id}", status_code=204, responses=errors(service.ChannelNotFoundError))
async def disconnect_channel(channel_id: UUID, unit: WritingUnit, now: Now) -> None:
    """Refuse a channel's webhooks from now on (410). What was accepted stays; repeating this changes nothing."""
    await service.disconnect_channel(unit, channel_id, now=now)


@router.post(
    "/{channel_id}/secrets",
    status_code=201,
    responses=errors(
        service.ChannelNotFoundError, service.ChannelDeactivatedError, service.TooManySecretsError, *_SECRET_ERRORS
    ),
)
async def rotate_secret(channel_id: UUID, body: SecretCreate, unit: WritingUnit, api: Api, now: Now) -> ChannelCreated:
    """Give a channel a new secret. The ones before hold on for an hour, or as long as you say."""
    connected = await service.rotate_secret(
        unit,
        channel_id,
        body.secret.get_secret_value() if body.secret else None,
        previous_valid_for=timedelta(seconds=body.previous_valid_for_s),
        box=api.box,
        now=now,
    )
    return _shown_once(connected, api)
