"""A service of the benchmarks' own, run as a process: one ordinary consumer, which only claims its message."""

from typing import Annotated

from faststream import Context
from faststream.rabbit import RabbitMessage, RabbitRouter
from rappit_common.messaging.events import ReceivedEvent
from rappit_common.messaging.topology import Subscription
from rappit_common.service import StatefulService, run_command
from rappit_common.settings import StatefulSettings
from rappit_common.unit_of_work import UnitOfWork, UnitsOfWork

EVENT = "bench.consumed.v1"
CLAIM = Subscription("bench.claim", (EVENT,))


class Consumed(ReceivedEvent):
    """What it reads of a message."""

    text: str


def make_router() -> RabbitRouter:
    router = RabbitRouter()

    @router.subscriber(CLAIM.as_faststream())
    async def claim(
        event: Consumed, message: RabbitMessage, units: Annotated[UnitsOfWork[UnitOfWork], Context("units")]
    ) -> None:
        async with units.begin(event.organization_id) as unit:
            await unit.inbox.claim(CLAIM.queue, message.message_id)

    return router


# In the schema of a service that has one: it needs an inbox and nothing else.
SERVICE = StatefulService(
    name="bench",
    schema="inventory",
    module="rappit_inventory",
    prefix="/bench",
    settings=StatefulSettings,
    unit=UnitOfWork,
    install_api=lambda _app, _runtime: None,
    router=make_router,
    subscriptions=(CLAIM,),
)


if __name__ == "__main__":
    run_command(SERVICE)
