"""A service's AsyncAPI document: made when it is asked for, from its subscribers and events, so never stale."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar, Protocol

from fastapi import APIRouter
from fastapi.responses import Response
from faststream.rabbit import ExchangeType, RabbitBroker, RabbitExchange, RabbitRouter
from faststream.specification import AsyncAPI

from rappit_common.messaging.events import EVENTS_EXCHANGE
from rappit_common.messaging.hot_consumer import HotSubscription


class NamedEvent(Protocol):
    """A pydantic model that describes an event, by its name."""

    event_name: ClassVar[str]


def asyncapi_json(
    service: str,
    router: RabbitRouter | None,
    publishes: tuple[type[NamedEvent], ...],
    hot: Sequence[HotSubscription[Any]] = (),
) -> str:
    """Return the document (AsyncAPI 3) of what a service consumes and publishes, as JSON."""
    # Never connected: it only carries the descriptions.
    broker = RabbitBroker("amqp://rabbitmq/")
    if router is not None:
        broker.include_router(router)
    for subscription in hot:
        broker.subscriber(subscription.subscription.as_faststream())(_reader_of(subscription))
    exchange = RabbitExchange(EVENTS_EXCHANGE, type=ExchangeType.TOPIC, durable=True)
    for event in publishes:
        broker.publisher(
            routing_key=event.event_name,
            exchange=exchange,
            schema=event,
            title=event.event_name,
            description=event.__doc__,
        )
    specification: Any = AsyncAPI(broker, title=f"Rappit {service}", version="1").to_specification()
    return specification.to_json()


def _reader_of(hot: HotSubscription[Any]) -> Callable[[Any], Awaitable[None]]:
    """Return a handler that is described as the hot one is, and never called."""

    async def read(event: Any) -> None:
        await hot.handle(event, None)

    read.__name__ = hot.subscription.queue.rpartition(".")[2].replace("-", "_")
    read.__doc__ = hot.handle.__doc__
    read.__annotations__ = {"event": hot.event, "return": None}
    return read


def asyncapi_router(
    service: str,
    router: RabbitRouter | None,
    publishes: tuple[type[NamedEvent], ...],
    hot: Sequence[HotSubscription[Any]] = (),
) -> APIRouter:
    """Return the endpoint that serves the document; mount it below the service's prefix."""
    document = asyncapi_json(service, router, publishes, hot)
    endpoint = APIRouter(prefix="/ops", tags=["operator"])

    @endpoint.get("/asyncapi.json", include_in_schema=False)
    async def get_asyncapi() -> Response:
        """Describe the messages this service consumes and publishes."""
        return Response(document, media_type="application/json")

    return endpoint
