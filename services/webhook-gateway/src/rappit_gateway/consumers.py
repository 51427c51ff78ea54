"""What the gateway does when others tell it something."""

from collections.abc import Sequence
from uuid import UUID

from rappit_common.messaging.batching import Batcher
from rappit_common.messaging.hot_consumer import HotSubscription
from rappit_common.tracing import current_trace_id
from rappit_common.unit_of_work import UnitsOfWork

from rappit_gateway.domain.deliveries import DeliveryOutcome
from rappit_gateway.messages import NOTE_OUTCOME, DeliverySettled
from rappit_gateway.service.deliveries import note_outcomes
from rappit_gateway.unit import GatewayUnit


def make_outcome_batcher(units: UnitsOfWork[GatewayUnit], *, max_running: int) -> Batcher[UUID, DeliveryOutcome]:
    """Return what notes the outcomes of an organization many in one transaction."""

    async def apply(organization_id: UUID, outcomes: Sequence[DeliveryOutcome]) -> None:
        # No inbox: the truer outcome wins, so that noting one again, or late, changes nothing.
        async with units.begin(organization_id) as unit:
            await note_outcomes(unit, outcomes)

    return Batcher(apply, max_running=max_running)


def hot_outcomes(batcher: Batcher[UUID, DeliveryOutcome]) -> HotSubscription[DeliverySettled]:
    """Return the subscription to what became of webhooks, read past FastStream: there is one of each webhook."""

    async def note_outcome(event: DeliverySettled, _message_id: str | None) -> None:
        """Write into the delivery log what became of a webhook; returns after the commit, so that the ack follows."""
        await batcher.submit(event.organization_id, event.to_outcome(current_trace_id()))

    return HotSubscription(NOTE_OUTCOME, DeliverySettled, note_outcome)
