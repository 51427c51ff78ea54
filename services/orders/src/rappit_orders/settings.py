"""Settings of the service."""

from pydantic import Field
from rappit_common.settings import StatefulSettings


class OrdersSettings(StatefulSettings):
    """What a process of orders is told by its environment."""

    # A handler holds a connection while it waits for its order's lock: fewer at once than there are connections, so
    # that fifty deliveries of one order keep neither other orders nor the API waiting.
    consumer_prefetch: int = Field(default=8, ge=1, le=1_000)
