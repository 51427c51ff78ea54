"""Composition: how the gateway's parts are put together in one process."""

import time
from datetime import timedelta
from typing import Any
from uuid import UUID

from fastapi import FastAPI
from rappit_common.clock import new_id, utc_now
from rappit_common.crypto import SecretBox
from rappit_common.leases import LeasedLimit
from rappit_common.limits import Decision
from rappit_common.messaging.hot_consumer import HotSubscription
from rappit_common.service import Part, Runtime, StatefulService
from starlette.types import ASGIApp

from rappit_gateway.consumers import hot_outcomes, make_outcome_batcher
from rappit_gateway.domain.channels import KnownChannel
from rappit_gateway.endpoints import deliveries, webhook_document
from rappit_gateway.endpoints.admission import Quotas
from rappit_gateway.endpoints.channels import router
from rappit_gateway.endpoints.dependencies import ChannelsApi
from rappit_gateway.endpoints.outcomes import Outcomes
from rappit_gateway.endpoints.trace import Tracing
from rappit_gateway.endpoints.webhooks import WebhookEndpoint, WebhookLimits
from rappit_gateway.messages import NOTE_OUTCOME, WebhookReceived
from rappit_gateway.repository.delivery_log import DeliveryWriter
from rappit_gateway.repository.spool import Spool
from rappit_gateway.service.acceptance import Acceptance
from rappit_gateway.service.channels import know_channel
from rappit_gateway.service.delivery_log import DeliveryLog
from rappit_gateway.service.delivery_purge import DeliveryPurge
from rappit_gateway.service.directory import ChannelDirectory
from rappit_gateway.settings import GatewaySettings
from rappit_gateway.unit import GatewayUnit

SCHEMA = "gateway"
UNVERIFIED = "webhooks-unverified"
VERIFIED = "webhooks-verified"

GatewayRuntime = Runtime[GatewaySettings, GatewayUnit]


class _ApiPart:
    """Opens and closes what the API's process keeps besides the common parts."""

    def __init__(self, spool: Spool, directory: ChannelDirectory, log: DeliveryLog, writer: DeliveryWriter) -> None:
        self._spool = spool
        self._directory = directory
        self._log = log
        self._writer = writer

    async def start(self) -> None:
        """Begin."""
        await self._spool.start()
        await self._log.start()

    async def stop(self) -> None:
        """End."""
        await self._log.stop()
        await self._writer.close()
        await self._directory.stop()
        await self._spool.stop()


class _Composition:
    """What one process's parts share; made anew for each, since a test runs several."""

    def __init__(self) -> None:
        self._spool: Spool | None = None
        self._directory: ChannelDirectory | None = None
        self._log: DeliveryLog | None = None

    def parts(self, runtime: GatewayRuntime, role: str) -> list[Part]:
        """Return a role's own parts."""
        if role == "api":
            return [self._api_part(runtime)]
        return [_purge(runtime)] if role == "relay" else []

    def _api_part(self, runtime: GatewayRuntime) -> Part:
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
        writer = DeliveryWriter(settings.database_url, schema=SCHEMA)
        self._log = DeliveryLog(
            writer.write,
            new_id=new_id,
            monotonic=time.monotonic,
            wall_clock=time.time,
            max_rows=settings.delivery_log_rows,
            max_bytes=settings.delivery_log_bytes,
        )
        return _ApiPart(self._spool, self._directory, self._log, writer)

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
        # Before the channels, whose ids would stand where "deliveries" stands.
        app.include_router(deliveries.router)
        app.include_router(router)
        app.include_router(webhook_document.router)

    def wrap(self, app: ASGIApp, runtime: GatewayRuntime) -> ASGIApp:
        """Put the hot path in front of the app."""
        assert self._spool is not None  # noqa: S101 - as above
        assert self._log is not None  # noqa: S101 - as above
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
            deliveries=self._log,
            wall_clock=time.time,
            monotonic=time.monotonic,
        )


def _purge(runtime: GatewayRuntime) -> Part:
    settings = runtime.settings
    return DeliveryPurge(
        runtime.units,
        now=utc_now,
        keep=timedelta(days=settings.delivery_keep_days),
        keep_bodies=timedelta(days=settings.delivery_body_keep_days),
    )


def hot_subscriptions(runtime: GatewayRuntime) -> list[HotSubscription[Any]]:
    """Return what is read past FastStream: all that the gateway consumes."""
    # Half of the pool at most: the API needs connections too.
    return [
        hot_outcomes(make_outcome_batcher(runtime.units, max_running=max(1, runtime.settings.database_pool_size // 2)))
    ]


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
        subscriptions=(NOTE_OUTCOME,),
        hot_subscriptions=hot_subscriptions,
        publishes=(WebhookReceived,),
        parts=composition.parts,
        wrap=composition.wrap,
        # It accepts while either is there; the spool or the broker takes what the other cannot.
        needs_both_stores=False,
    )
