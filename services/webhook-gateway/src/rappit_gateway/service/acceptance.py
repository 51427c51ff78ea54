"""Accept a verified webhook: it is durable, in the broker or in the spool, or it is not accepted."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from rappit_common.errors import UnavailableError
from rappit_common.logs import get_logger
from rappit_common.messaging.events import EVENTS_EXCHANGE, HEADER_ORGANIZATION
from rappit_common.messaging.publisher import BrokerAwayError, Publisher, UnroutableError
from rappit_common.patience import Patience
from rappit_common.tracing import TRACEPARENT

from rappit_gateway.domain.channels import KnownChannel
from rappit_gateway.domain.signatures import Delivery
from rappit_gateway.messages import RAW_CONTENT_TYPE, WEBHOOK_RECEIVED
from rappit_gateway.repository.spool import Spool, SpoolAwayError
from rappit_gateway.service.deadline import Deadline

RETRY_AFTER_S = 5

_log = get_logger()


class NotAcceptedError(UnavailableError):
    """Neither the broker nor PostgreSQL has it."""

    code = "not_accepted"


class MessageIds(Protocol):
    """Makes the id of an acceptance."""

    def __call__(self) -> UUID:
        """Return a new one."""
        ...


@dataclass(frozen=True, slots=True)
class VerifiedWebhook:
    """A webhook that is certainly the channel's.

    Attributes:
        channel: Who sent it.
        delivery: What it says of itself.
        body: Raw.
        content_type: As the channel declared it.
        traceparent: The trace that it begins or continues.
        received_at_s: Seconds of the epoch.
    """

    channel: KnownChannel
    delivery: Delivery
    body: bytes
    content_type: str
    traceparent: str
    received_at_s: float


@dataclass(frozen=True, slots=True)
class Accepted:
    """Proof that a webhook is durable.

    Attributes:
        message_id: Of its message, whichever way it takes.
        is_spooled: Whether it waits in PostgreSQL for the broker.
    """

    message_id: UUID
    is_spooled: bool


def message_headers(webhook: VerifiedWebhook) -> dict[str, str]:
    """Return the AMQP headers of a webhook's message, as ``messages.WebhookReceivedHeaders`` describes them.

    A plain dictionary: validating what we have just made would cost more than making it.
    """
    channel, delivery = webhook.channel, webhook.delivery
    return {
        HEADER_ORGANIZATION: str(channel.organization_id),
        "rappit-channel-id": str(channel.channel_id),
        "rappit-provider": channel.provider.value,
        "rappit-topic": delivery.topic,
        "rappit-delivery-id": delivery.delivery_id,
        "rappit-dedupe-key": delivery.dedupe_key,
        "rappit-source": delivery.source,
        "rappit-content-type": webhook.content_type,
        "rappit-received-at": datetime.fromtimestamp(webhook.received_at_s, UTC).isoformat(timespec="milliseconds"),
        TRACEPARENT: webhook.traceparent,
    }


class Acceptance:
    """Publishes with a confirm, or else spools.

    Args:
        publisher: The fast way.
        spool: The way round, while the broker is away, slow, or has no queue for webhooks yet.
        new_id: Makes message ids.
        monotonic: In seconds.
        publish_timeout_s: How long the broker may take to confirm.
        pause_s: How long the broker is left alone after it did not confirm in time, so that an outage of the kind
            that hangs slows down one webhook and not all.
    """

    def __init__(
        self,
        publisher: Publisher,
        spool: Spool,
        *,
        new_id: MessageIds,
        monotonic: Callable[[], float],
        publish_timeout_s: float,
        pause_s: float,
    ) -> None:
        self._publisher = publisher
        self._spool = spool
        self._new_id = new_id
        self._monotonic = monotonic
        self._publish_patience = Patience(publish_timeout_s)
        self._pause_s = pause_s
        self._paused_until_s: float | None = None

    async def accept(self, webhook: VerifiedWebhook, deadline: Deadline) -> Accepted:
        """Return once the webhook is durable.

        Of the time that is left the broker gets half at most, so that there is always some for the spool.

        Raises:
            NotAcceptedError: Neither the broker nor PostgreSQL has it; the channel must send it again.
        """
        message_id = self._new_id()
        headers = message_headers(webhook)
        if await self._publish(message_id, headers, webhook.body, deadline.left_s() / 2):
            return Accepted(message_id, is_spooled=False)
        try:
            await self._spool.put(
                message_id,
                organization_id=webhook.channel.organization_id,
                event=WEBHOOK_RECEIVED,
                exchange=EVENTS_EXCHANGE,
                content_type=RAW_CONTENT_TYPE,
                headers=headers,
                body=webhook.body,
                within_s=deadline.left_s(),
            )
        except SpoolAwayError as error:
            _log.warning("webhook_not_accepted", channel_id=str(webhook.channel.channel_id), error=str(error))
            raise NotAcceptedError(
                "The webhook could not be stored; send it again in a moment.", retry_after_s=RETRY_AFTER_S
            ) from error
        return Accepted(message_id, is_spooled=True)

    async def _publish(self, message_id: UUID, headers: dict[str, str], body: bytes, within_s: float) -> bool:
        if not self._publisher.is_connected or self._is_paused():
            return False
        patience = self._publish_patience
        if within_s < patience.timeout_s:
            # Looking up the channel took long: rare, so its timer may be its own.
            patience = Patience(within_s)
        try:
            await self._publisher.publish(
                body,
                exchange=EVENTS_EXCHANGE,
                routing_key=WEBHOOK_RECEIVED,
                event=WEBHOOK_RECEIVED,
                message_id=str(message_id),
                content_type=RAW_CONTENT_TYPE,
                headers=headers,
                patience=patience,
            )
        except UnroutableError:
            # The broker is well: only the consumer was never deployed. The relay tries again, less and less often.
            return False
        except BrokerAwayError as error:
            self._paused_until_s = self._monotonic() + self._pause_s
            _log.warning("broker_left_alone", pause_s=self._pause_s, error=repr(error))
            return False
        self._paused_until_s = None
        return True

    def _is_paused(self) -> bool:
        if self._paused_until_s is None:
            return False
        now_s = self._monotonic()
        if now_s < self._paused_until_s:
            return True
        # This webhook finds out whether the broker is well again; the others need not wait with it.
        self._paused_until_s = now_s + self._pause_s
        return False
