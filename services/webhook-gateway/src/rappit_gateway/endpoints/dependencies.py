"""What the channels' endpoints ask for."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, cast

from fastapi import Depends, Request
from rappit_common.clock import utc_now
from rappit_common.crypto import SecretBox
from rappit_common.unit_of_work import UnitsOfWork
from rappit_common.web.auth import Principal, Staff, Viewer, tenant_of

from rappit_gateway.service.directory import ChannelDirectory
from rappit_gateway.unit import GatewayUnit


@dataclass(frozen=True, slots=True)
class ChannelsApi:
    """What the endpoints share, put into the app's state by the composition root.

    Attributes:
        units: Opens transactions.
        box: Encrypts secrets.
        directory: Told of every change at once.
        public_base_url: Where channels reach us, without a slash at its end.
        usual_quota_per_minute: Verified webhooks of a channel that has no quota of its own.
    """

    units: UnitsOfWork[GatewayUnit]
    box: SecretBox
    directory: ChannelDirectory
    public_base_url: str
    usual_quota_per_minute: int


def channels_api(request: Request) -> ChannelsApi:
    """Return what the composition root put into the app's state."""
    return cast("ChannelsApi", request.app.state.channels_api)


Api = Annotated[ChannelsApi, Depends(channels_api)]
Now = Annotated[datetime, Depends(utc_now)]


@asynccontextmanager
async def _open_unit(api: ChannelsApi, principal: Principal) -> AsyncGenerator[GatewayUnit]:
    async with api.units.begin(tenant_of(principal)) as unit:
        yield unit
    # Only now: what another request reads before the commit is the channel as it was.
    for channel_id in unit.changed_channels:
        api.directory.forget(channel_id)


async def _open_reading_unit(api: Api, principal: Viewer) -> AsyncGenerator[GatewayUnit]:
    async with _open_unit(api, principal) as unit:
        yield unit


async def _open_writing_unit(api: Api, principal: Staff) -> AsyncGenerator[GatewayUnit]:
    async with _open_unit(api, principal) as unit:
        yield unit


# "function" commits before the response leaves; the default commits after it, and a failing commit would answer 201.
ReadingUnit = Annotated[GatewayUnit, Depends(_open_reading_unit, scope="function")]
WritingUnit = Annotated[GatewayUnit, Depends(_open_writing_unit, scope="function")]
