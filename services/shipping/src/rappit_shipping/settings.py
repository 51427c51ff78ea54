"""Shipping's settings. Names are the environment variables' in lower case."""

from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode
from rappit_common.settings import EncryptionKey, StatefulSettings


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class ShippingSettings(StatefulSettings):
    """What a shipping process is told.

    Attributes:
        fedex_base_url: FedEx's server; its sandbox is ``https://apis-sandbox.fedex.com``.
        dhl_base_url: DHL's server; its sandbox is ``https://api-sandbox.dhl.com``.
        carrier_connect_timeout_s: To connect to a carrier.
        carrier_read_timeout_s: Between two reads of its answer.
        carrier_total_timeout_s: For one request in all.
        carrier_concurrency: Calls to one carrier at once, in one process.
        carrier_queue_wait_s: How long a call waits for its turn.
        breaker_threshold: Failures in a row that open a carrier's breaker.
        breaker_open_s: How long an open breaker refuses.
        breaker_namespace: Prefix of the breakers' keys in Redis.
        redis_timeout_s: After which Redis counts as away and a process counts by itself.
        purchase_stale_s: After which an intent of which nothing more was heard is looked up at the carrier.
        reconcile_poll_s: How often the worker asks what is due.
        reconcile_delays_s: Before each look at an unknown outcome.
        order_catch_up_s: How long a purchase waits for shipping to hear of an order.
    """

    encryption_key: EncryptionKey
    encryption_key_previous: EncryptionKey | None = None
    fedex_base_url: str = Field(default="https://apis.fedex.com", pattern=r"^https?://")
    dhl_base_url: str = Field(default="https://api-eu.dhl.com", pattern=r"^https?://")
    carrier_connect_timeout_s: float = Field(default=3, gt=0, le=60)
    carrier_read_timeout_s: float = Field(default=20, gt=0, le=300)
    carrier_total_timeout_s: float = Field(default=40, gt=0, le=600)
    carrier_concurrency: int = Field(default=16, ge=1, le=1_000)
    carrier_queue_wait_s: float = Field(default=2, gt=0, le=60)
    breaker_threshold: int = Field(default=5, ge=1, le=1_000)
    breaker_open_s: float = Field(default=60, gt=0, le=3_600)
    breaker_namespace: str = Field(default="rappit:shipping", min_length=1, max_length=100)
    redis_timeout_s: float = Field(default=0.25, gt=0, le=10)
    purchase_stale_s: float = Field(default=300, gt=0, le=86_400)
    reconcile_poll_s: float = Field(default=5, gt=0, le=3_600)
    reconcile_delays_s: Annotated[tuple[float, ...], NoDecode, BeforeValidator(_split), Field(max_length=50)] = (
        15,
        60,
        300,
        900,
        3_600,
    )
    order_catch_up_s: float = Field(default=2, ge=0, le=30)
