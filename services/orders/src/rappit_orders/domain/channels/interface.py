"""What a channel adapter is."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from rappit_orders.domain.commands import Command


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook as the gateway accepted it: genuine, but not yet understood.

    Attributes:
        topic: As the provider's headers say, for example ``orders/create``; "" when they say nothing.
        body: The raw bytes; need not be JSON, need not even be text.
        received_at: When the gateway accepted it.
    """

    topic: str
    body: bytes
    received_at: datetime


class ChannelAdapter(Protocol):
    """Maps a provider's deliveries to commands.

    An adapter is tolerant of what it does not know (fields, nulls, topics, an address that is not there) and intolerant
    of nonsense (a quantity below nothing, a text where a number belongs), which it refuses with the field's name. It
    holds no state: the same delivery always gives the same command.
    """

    def read(self, delivery: Delivery) -> Command:
        """Return the one command that ``delivery`` stands for; :class:`Ignored` when it asks nothing of an order.

        Raises:
            InvalidDeliveryError: The body is not what its topic says; names the field.
        """
        ...
