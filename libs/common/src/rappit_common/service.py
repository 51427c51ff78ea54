"""The shape of a service's process: one image, one command, and a role that says which part of it runs.

``serve`` runs everything (development); ``api``, ``worker`` and ``relay`` run alone, so that each scales alone;
``provision`` and ``migrate`` prepare the database and end.
"""

import argparse
import asyncio
import gc
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from types import FrameType
from typing import Any, Generic, Protocol, TypeVar

import uvicorn
from fastapi import FastAPI
from faststream.rabbit import RabbitRouter
from starlette.types import ASGIApp

from rappit_common.clock import utc_now
from rappit_common.database.engine import Database
from rappit_common.limits import RateLimits
from rappit_common.logs import configure_logs, get_logger
from rappit_common.messaging.consumers import Consumers
from rappit_common.messaging.dead_letters.drain import Announce, DeadLetterDrain
from rappit_common.messaging.dead_letters.retention import purge_settled
from rappit_common.messaging.dead_letters.runner import RequeueRunner
from rappit_common.messaging.hot_consumer import HotConsumer, HotSubscription
from rappit_common.messaging.levels import Levels
from rappit_common.messaging.publisher import Publisher
from rappit_common.messaging.relay import Relay
from rappit_common.messaging.retry import RetryPolicy
from rappit_common.messaging.topology import Subscription
from rappit_common.metrics import configure_metrics
from rappit_common.settings import EXIT_CONFIGURATION, ProcessSettings, StatefulSettings, load_settings
from rappit_common.tracing import configure_tracing
from rappit_common.unit_of_work import UnitOfWork, UnitsOfWork
from rappit_common.web.asyncapi import NamedEvent, asyncapi_router
from rappit_common.web.auth import Tokens
from rappit_common.web.health import Readiness, install_health
from rappit_common.web.middleware import BodyLimit, RequestContext
from rappit_common.web.ops.router import ops_router
from rappit_common.web.problems import install_problem_handlers

KEEP_ALIVE_S = 75
# What handling itself may take, on top of the pauses between a requeued letter's attempts.
HANDLING_S = 30
BACKLOG = 2_048
# New objects before the collector looks for cycles among them, and how often it then looks at older ones too.
COLLECT_AFTER = (20_000, 20, 20)

_log = get_logger()


class Part(Protocol):
    """Something that runs in the background for as long as the process does."""

    async def start(self) -> None:
        """Begin; returns soon, and never needs another service to be there."""

    async def stop(self) -> None:
        """End gracefully within the shutdown timeout."""


StatefulT = TypeVar("StatefulT", bound=StatefulSettings)
UnitT = TypeVar("UnitT", bound=UnitOfWork)
SharedT = TypeVar("SharedT")


@dataclass(slots=True)
class Runtime(Generic[StatefulT, UnitT]):
    """What the composition roots of a stateful service share in one process."""

    settings: StatefulT
    database: Database
    units: UnitsOfWork[UnitT]
    publisher: Publisher
    tokens: Tokens
    limits: RateLimits
    readiness: Readiness = field(default_factory=Readiness)
    _shared: dict[type[Any], Any] = field(default_factory=dict[type[Any], Any], init=False, repr=False)

    def share(self, kind: type[SharedT], make: Callable[[], SharedT]) -> SharedT:
        """Return this process's one ``kind``, made when it is first asked for: what a service's own roots share."""
        if kind not in self._shared:
            self._shared[kind] = make()
        return self._shared[kind]


@dataclass(frozen=True, slots=True)
class StatefulService(Generic[StatefulT, UnitT]):
    """A service that owns a schema.

    Args:
        name: Of the process, for example ``orders``; also its queues' prefix.
        schema: Its PostgreSQL schema.
        module: Its import name, where its migrations are found.
        prefix: Path below which its API lives, for example ``/orders``.
        settings: Its settings class.
        unit: Its unit of work.
        install_api: Adds its routers and state to the API's app.
        router: Its FastStream subscribers, when it has any.
        subscriptions: Their queues, and those of its hot subscriptions.
        hot_subscriptions: Queues that it reads past FastStream, for their cost (messaging/hot_consumer.py).
        publishes: The events it publishes, for its AsyncAPI document.
        consumer_context: What its handlers ask for, besides ``units``; async context, closed after the consumers.
        parts: Its own background parts, for the role given (``api``, ``worker`` or ``relay``).
        wrap: Puts a hot path in front of the app.
        larger_bodies: Path prefixes with a body limit of their own, in bytes.
        announce_dead_letter: Given a row of the dead letters just kept, the event that tells of it; it goes to the
            outbox in the same transaction.
        uses_broker: False for a service that neither publishes nor consumes: it starts and is ready without RabbitMQ.
        needs_both_stores: False for a service whose API works while either PostgreSQL or the broker is there; a process
            that serves it is ready then, though it consumes nothing meanwhile.
    """

    name: str
    schema: str
    module: str
    prefix: str
    settings: type[StatefulT]
    unit: type[UnitT]
    install_api: Callable[[FastAPI, Runtime[StatefulT, UnitT]], None]
    router: Callable[[], RabbitRouter] | None = None
    subscriptions: tuple[Subscription, ...] = ()
    hot_subscriptions: Callable[[Runtime[StatefulT, UnitT]], list[HotSubscription[Any]]] = lambda _runtime: []
    publishes: tuple[type[NamedEvent], ...] = ()
    consumer_context: Callable[[Runtime[StatefulT, UnitT]], dict[str, Any]] = lambda _runtime: {}
    parts: Callable[[Runtime[StatefulT, UnitT], str], list[Part]] = lambda _runtime, _role: []
    wrap: Callable[[ASGIApp, Runtime[StatefulT, UnitT]], ASGIApp] = lambda app, _runtime: app
    larger_bodies: dict[str, int] = field(default_factory=dict[str, int])
    announce_dead_letter: Announce | None = None
    uses_broker: bool = True
    needs_both_stores: bool = True

    def create(self, settings: StatefulT, role: str) -> ASGIApp:
        """Compose the process of one role as an ASGI app whose lifespan starts and stops its parts."""
        return _compose(self, settings, role)


def _compose(service: StatefulService[StatefulT, UnitT], settings: StatefulT, role: str) -> ASGIApp:
    database = Database(
        settings.database_url,
        schema=service.schema,
        pool_size=settings.database_pool_size,
        pool_timeout_s=settings.database_pool_timeout_s,
        statement_timeout_s=settings.statement_timeout_s,
    )
    publisher = Publisher(settings.rabbitmq_url, timeout_s=settings.publish_timeout_s, name=f"{service.name}-publisher")
    relay = Relay(
        database,
        publisher,
        batch_rows=settings.relay_batch_rows,
        batch_bytes=settings.relay_batch_bytes,
        poll_s=settings.relay_poll_s,
        keep_claims=timedelta(days=settings.inbox_keep_days),
        also_purge=lambda: purge_settled(database, keep_days=settings.dead_letter_keep_days, now=utc_now()),
    )
    limits = RateLimits(settings.redis_url)
    runs_relay = service.uses_broker and role in {"serve", "relay"}
    nudge: Callable[[], None] = relay.nudge if runs_relay else lambda: None
    runtime = Runtime(
        settings=settings,
        database=database,
        units=UnitsOfWork(database, service.unit, nudge, has_relay=service.uses_broker),
        publisher=publisher,
        tokens=Tokens(settings.jwt_secret, settings.jwt_secret_previous),
        limits=limits,
    )
    consumes = role in {"serve", "worker"} and bool(service.subscriptions)
    _watch_stores(runtime, role, needs_both=service.needs_both_stores, uses_broker=runs_relay or consumes)
    parts: list[Part] = _relaying_parts(service, runtime, relay) if runs_relay else []
    if consumes:
        parts += _consuming_parts(service, runtime, role, nudge)
    for own_role in ("api", "worker", "relay") if role == "serve" else (role,):
        parts += service.parts(runtime, own_role)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(database.close)
            stack.push_async_callback(limits.close)
            stack.push_async_callback(publisher.close)
            if service.uses_broker:
                await publisher.start()
            for part in parts:
                stack.push_async_callback(_stop_within, part, settings.shutdown_timeout_s / 2 + 1)
                await part.start()
            _log.info("service_started", role=role)
            yield
            _log.info("service_stopping", role=role)

    app = create_app(service.name, service.prefix, lifespan)
    install_health(app, runtime.readiness)
    app.state.tokens, app.state.units, app.state.runtime = runtime.tokens, runtime.units, runtime
    if role not in {"serve", "api"}:
        return app
    service.install_api(app, runtime)
    if service.subscriptions:
        app.include_router(ops_router(service.name, service.subscriptions), prefix=service.prefix)
    if service.subscriptions or service.publishes:
        consumed = service.router() if service.router else None
        hot = service.hot_subscriptions(runtime)
        app.include_router(asyncapi_router(service.name, consumed, service.publishes, hot), prefix=service.prefix)
    return service.wrap(wrap_app(app, settings, service.larger_bodies), runtime)


def _relaying_parts(
    service: StatefulService[StatefulT, UnitT], runtime: Runtime[StatefulT, UnitT], relay: Relay
) -> list[Part]:
    parts: list[Part] = [relay, Levels(runtime.database, outbox=True)]
    if not service.subscriptions:
        return parts
    settings = runtime.settings
    # Never while a requeued letter's attempts may still be under way, whatever the setting says.
    patience_s = max(settings.requeue_answer_timeout_s, sum(settings.retry_delays_s) + HANDLING_S)
    return [*parts, RequeueRunner(runtime.units, answer_timeout_s=patience_s)]


async def _stop_within(part: Part, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await part.stop()
    except Exception as error:  # noqa: BLE001 - the others must end too: what was in hand here is redelivered
        _log.error("part_not_stopped", part=type(part).__name__, exc_info=error)


def _watch_stores(runtime: Runtime[Any, Any], role: str, *, needs_both: bool, uses_broker: bool) -> None:
    database, publisher = runtime.database, runtime.publisher
    if not needs_both and role in {"serve", "api"}:
        runtime.readiness.add_either("database_or_broker", lambda: publisher.is_connected, database.ping)
        return
    runtime.readiness.add("database", database.ping)
    if uses_broker:
        runtime.readiness.add_flag("broker", lambda: publisher.is_connected)


def _consuming_parts(
    service: StatefulService[StatefulT, UnitT],
    runtime: Runtime[StatefulT, UnitT],
    role: str,
    nudge: Callable[[], None],
) -> list[Part]:
    settings = runtime.settings
    policy = RetryPolicy(
        service.name,
        runtime.publisher,
        runtime.database,
        settings.retry_delays_s,
        keep_claims=timedelta(days=settings.inbox_keep_days),
    )
    consuming: list[Consumers | HotConsumer] = []
    if service.router is not None:
        consuming.append(
            Consumers(
                service=service.name,
                url=settings.rabbitmq_url,
                router=service.router(),
                subscriptions=service.subscriptions,
                policy=policy,
                context={"units": runtime.units, **service.consumer_context(runtime)},
                prefetch=settings.consumer_prefetch,
                drain_timeout_s=settings.shutdown_timeout_s / 2,
            )
        )
    drain = DeadLetterDrain(
        service=service.name,
        database=runtime.database,
        url=settings.rabbitmq_url,
        subscriptions=service.subscriptions,
        retry_delays_s=settings.retry_delays_s,
        announce=service.announce_dead_letter,
        nudge=nudge,
    )
    consuming += [
        HotConsumer(
            service=service.name,
            url=settings.rabbitmq_url,
            hot=subscription,
            policy=policy,
            drain_timeout_s=settings.shutdown_timeout_s / 2,
        )
        for subscription in service.hot_subscriptions(runtime)
    ]
    if service.needs_both_stores or role == "worker":
        runtime.readiness.add_flag("consumers", lambda: all(one.is_running for one in consuming))
        runtime.readiness.add_flag("not_held", lambda: policy.held == 0)
    levels = Levels(runtime.database, queues=tuple(subscription.queue for subscription in service.subscriptions))
    return [*consuming, drain, levels]


def create_app(name: str, prefix: str, lifespan: Callable[[FastAPI], Any]) -> FastAPI:
    """Return a FastAPI app whose errors are problems and whose documents live below ``prefix``."""
    app = FastAPI(
        title=f"Rappit {name}",
        openapi_url=f"{prefix}/openapi.json",
        docs_url=f"{prefix}/docs",
        redoc_url=None,
        lifespan=lifespan,
        separate_input_output_schemas=False,
        # FastAPI's own span does not know that the request has one: it would begin a second trace inside of ours.
        telemetry={"tracing": False, "operation_spans": False, "logs": False},
    )
    install_problem_handlers(app)
    return app


def wrap_app(app: FastAPI, settings: ProcessSettings, larger_bodies: dict[str, int] | None = None) -> ASGIApp:
    """Put the body limit and the request's context around an app."""
    return RequestContext(BodyLimit(app, settings.body_limit_bytes, larger_bodies))


def run_server(app: ASGIApp, settings: ProcessSettings) -> None:
    """Serve ``app`` until SIGTERM, then finish what is in hand within the shutdown timeout.

    Raises:
        SystemExit: The port is taken, or the start failed.
    """
    server = uvicorn.Server(server_config(app, settings))
    # uvicorn raises the signal again after its graceful end, for whoever handled it before: we did, and all went well.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    _collect_rarely()
    server.run()
    if not server.started:
        sys.exit(1)


def _collect_rarely() -> None:
    """Have the collector of cycles look seldom, and never at what is here before the first request.

    By default it looks after each 700 new objects, at every message that is in hand too: 28 % of what a reservation
    cost (docs/performance.md). What we make has few cycles, and counting references frees the rest at once.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def server_config(app: ASGIApp, settings: ProcessSettings) -> uvicorn.Config:
    """Return how ``app`` is served; only ``TRUSTED_PROXIES`` are believed when they name another client."""
    proxies = ",".join(str(network) for network in settings.trusted_proxies)
    return uvicorn.Config(
        app,
        host=settings.http_host,
        port=settings.http_port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies or None,
        timeout_keep_alive=KEEP_ALIVE_S,
        # Requests first, then what runs in the background: half of the time for each.
        timeout_graceful_shutdown=max(1, settings.shutdown_timeout_s // 2),
        # Pipelined requests would inherit the context of the one before: its tenant in the logs, its trace.
        reset_contextvars=True,
        backlog=BACKLOG,
    )


def _end(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def configure_telemetry(service: str, settings: ProcessSettings) -> None:
    """Install the process's tracer and meters."""
    endpoint = settings.otel_exporter_otlp_endpoint
    configure_tracing(service, sample_ratio=settings.trace_sample_ratio, otlp_endpoint=endpoint)
    configure_metrics(service, otlp_endpoint=endpoint)


def _environment(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        sys.stderr.write(f"{name} is not set; Rappit has no default for it\n")
        raise SystemExit(EXIT_CONFIGURATION)
    return value


def _prepare(service: StatefulService[Any, Any], command: str) -> None:
    # Alembic is a fifth of a serving process's start, and nothing it ever uses.
    from rappit_common.database.migrations import upgrade  # noqa: PLC0415
    from rappit_common.database.provision import provision  # noqa: PLC0415

    owner_url = _environment("MIGRATION_DATABASE_URL")
    if command == "provision":
        admin_url, runtime_url = _environment("ADMIN_DATABASE_URL"), _environment("DATABASE_URL")
        asyncio.run(provision(admin_url, service.schema, owner_url=owner_url, runtime_url=runtime_url))
    else:
        upgrade(service.module, owner_url, service.schema)
    _log.info("database_prepared", step=command, schema=service.schema)


def run_command(
    service: StatefulService[StatefulT, UnitT],
    argv: list[str] | None = None,
    extra: dict[str, Callable[[], None]] | None = None,
) -> None:
    """Be the ``main`` of a service.

    Args:
        service: Which.
        argv: The commands, the process's own when not given.
        extra: Further commands of this service, by name.
    """
    extra = extra or {}
    serving = ("serve", "api", "worker", "relay")
    parser = argparse.ArgumentParser(prog=f"rappit-{service.name}", description=__doc__)
    parser.add_argument(
        "commands",
        nargs="+",
        choices=("provision", "migrate", *serving, *extra),
        metavar="command",
        help=f"one or more of: provision, migrate, {', '.join((*serving, *extra))}",
    )
    for command in parser.parse_args(argv).commands:
        configure_logs(service.name, os.environ.get("LOG_LEVEL", "INFO"))
        if command in {"provision", "migrate"}:
            _prepare(service, command)
        elif command in extra:
            extra[command]()
        else:
            settings = load_settings(service.settings)
            configure_logs(service.name, settings.log_level)
            configure_telemetry(service.name, settings)
            run_server(service.create(settings, command), settings)
