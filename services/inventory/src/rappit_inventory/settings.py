"""What the service's processes are told."""

from pydantic import Field
from rappit_common.settings import StatefulSettings


class InventorySettings(StatefulSettings):
    """Settings of inventory. Orders are reserved many in one transaction, and the next batch waits at hand."""

    reservation_prefetch: int = Field(default=400, ge=1, le=2_000)
    reservation_batch_orders: int = Field(default=200, ge=1, le=500)
    hold_expiry_poll_s: float = Field(default=1.0, gt=0, le=60)
