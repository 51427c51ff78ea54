"""Composition: how the gateway's parts are put together in one process."""

import time
from uuid import UUID

from fastapi import FastAPI
from rappit_common.clock import new_id
from rappit_common.crypto import SecretBox
from rappit_common.leases import LeasedLimit
from rappit_common.limits import Decision
from rappit_common.service import Part, Runtime, StatefulService
from starlette.types import ASGIApp

from rappit_gateway.domain.channels import KnownChannel
from rappit_gateway.endpoints import webhook_document
from rappit_gateway.endpoints.admission import Quotas
from rappit_gateway.endpoints.channels import router
from rappit_gateway.endpoints.dependencies import ChannelsApi
from rappit_gateway.endpoints.outcomes import Outcomes
from rappit_gateway.endpoints.trace import Tracing
from rappit_gateway.endpoints.webhooks import WebhookEndpoint, WebhookLimits
from rappit_gateway.messages import WebhookReceived
from rappit_gateway.repository.spool import Spool
from rappit_gateway.service.acceptance import Acceptance
from rappit_gateway.service.channels import know_channel
from rappit_gateway.service.directory import ChannelDirectory
from rappit_gateway.settings import GatewaySettings
from rappit_gateway.unit import GatewayUnit

SCHEMA = "gateway"
UNVERIFIED = "webhooks-unverified"
VERIFIED = "webhooks-verified"

GatewayRuntime = Runtime[GatewaySettings, GatewayUnit]


class _SpoolPart:
    """Opens and closes what the API's process keeps besides the common parts."""

    def __init__(self, spool: Spool, directory: ChannelDirectory) -> None:
        self._spool = spool
        self._directory = directory

    async def start(self) -> None:
        """Begin."""
        await self._spool.start()

    async def stop(self) -> None:
        """End."""
        await self._directory.stop()
        await self._spool.stop()


class _Composition:
    """What one process's parts share; made anew for each, since a test runs several."""

    def __init__(self) -> None:
        self._spool: Spool | None = None
        self._directory: ChannelDirectory | None = None

    def parts(self, runtime: GatewayRuntime, role: str) -> list[Part]:
        """Return the API's own parts."""
        if role != "api":
            return []
        settings = runtime.settings
        box = SecretBox(settings.encryption_key, settings.encryption_key_previous)

        async def load(channel_id: UUID) -> KnownChannel | None:
            async with runtime.units.bypass_tenancy("a webhook names its channel, not its tenant") as unit:
                return await know_channel(unit, channel_id, box=box)

        self._directory = ChannelDirectory(
            load,
            clock=time.monotonic,
            entries=settings.channel_cache_entries,
            ttl_s=settings.channel_cache_ttl_s,
            timeout_s=settings.channel_lookup_timeout_s,
        )
        self._spool = Spool(
            settings.database_url,
            schema=SCHEMA,
            connections=settings.spool_connections,
            timeout_s=settings.spool_timeout_s,
        )
        return [_SpoolPart(self._spool, self._directory)]

    @property
    def directory(self) -> ChannelDirectory:
        """The channels known to this process."""
        assert self._directory is not None  # noqa: S101 - the parts of a process are made first
        return self._directory

    def install_api(self, app: FastAPI, runtime: GatewayRuntime) -> None:
        """Add the channels' endpoints."""
        settings = runtime.settings
        app.state.channels_api = ChannelsApi(
            units=runtime.units,
            box=SecretBox(settings.encryption_key, settings.encryption_key_previous),
            directory=self.directory,
            public_base_url=settings.public_base_url,
            usual_quota_per_minute=settings.channel_quota_per_minute,
        )
        app.include_router(router)
        app.include_router(webhook_document.router)

    def wrap(self, app: ASGIApp, runtime: GatewayRuntime) -> ASGIApp:
        """Put the hot path in front of the app."""
        assert self._spool is not None  # noqa: S101 - as above
        settings = runtime.settings

        async def count_unverified(source: str) -> Decision:
            return await runtime.limits.hit(
                UNVERIFIED, key=source, per_minute=settings.unverified_per_minute, fail_open=True
            )

        return WebhookEndpoint(
            app,
            directory=self.directory,
            acceptance=Acceptance(
                runtime.publisher,
                self._spool,
                new_id=new_id,
                monotonic=time.monotonic,
                publish_timeout_s=settings.accept_publish_timeout_s,
                pause_s=settings.broker_pause_s,
            ),
            tracing=Tracing(
                sample_ratio=settings.trace_sample_ratio, exports=settings.otel_exporter_otlp_endpoint is not None
            ),
            limits=WebhookLimits(
                body_bytes=settings.webhook_body_limit_bytes,
                memory_bytes=settings.webhook_memory_limit_bytes,
                read_timeout_s=settings.webhook_read_timeout_s,
                answer_timeout_s=settings.webhook_answer_timeout_s,
                quotas=Quotas(
                    count_unverified=count_unverified,
                    unverified_per_minute=settings.unverified_per_minute,
                    verified=LeasedLimit(runtime.limits, VERIFIED, monotonic=time.monotonic),
                    verified_per_minute=settings.channel_quota_per_minute,
                ),
            ),
            outcomes=Outcomes(),
            wall_clock=time.time,
            monotonic=time.monotonic,
        )


def make_service() -> StatefulService[GatewaySettings, GatewayUnit]:
    """Return the gateway; make it anew for each process composed of it."""
    composition = _Composition()
    return StatefulService(
        name="webhook-gateway",
        schema=SCHEMA,
        module="rappit_gateway",
        prefix="/channels",
        settings=GatewaySettings,
        unit=GatewayUnit,
        install_api=composition.install_api,
        publishes=(WebhookReceived,),
        parts=composition.parts,
        wrap=composition.wrap,
        # It accepts while either is there; the spool or the broker takes what the other cannot.
        needs_both_stores=False,
    )
