"""What the service's processes are told."""

from pydantic import Field
from rappit_common.settings import StatefulSettings


class InventorySettings(StatefulSettings):
    """Settings of inventory. Orders are reserved many in one transaction, and the next batch waits at hand.

    A file larger than ``import_job_bytes`` is applied by a worker; smaller ones are answered at once.
    """

    reservation_prefetch: int = Field(default=400, ge=1, le=2_000)
    reservation_batch_orders: int = Field(default=200, ge=1, le=500)
    import_job_bytes: int = Field(default=16 * 1024 * 1024, ge=0)
    import_poll_s: float = Field(default=0.5, gt=0, le=60)
    import_lease_s: float = Field(default=30, ge=2, le=600)
    import_statement_timeout_s: float = Field(default=300, gt=0, le=3_600)
    import_keep_days: int = Field(default=30, ge=1, le=3_650)
    hold_expiry_poll_s: float = Field(default=1.0, gt=0, le=60)
    hold_keep_days: int = Field(default=90, ge=1, le=3_650)
