"""What the service's processes are told."""

from pydantic import Field
from rappit_common.settings import StatefulSettings


class InventorySettings(StatefulSettings):
    """Settings of inventory. ``consumer_prefetch`` is large: what waits is reserved many in one transaction."""

    consumer_prefetch: int = Field(default=200, ge=1, le=1_000)
    reservation_batch_orders: int = Field(default=200, ge=1, le=500)
