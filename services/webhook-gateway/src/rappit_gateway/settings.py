"""The gateway's settings."""

from typing import Annotated

from pydantic import AfterValidator, Field
from rappit_common.settings import EncryptionKey, StatefulSettings


def _address(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError("must be the address channels reach us at, for example https://orders.example.com")
    return value.rstrip("/")


class GatewaySettings(StatefulSettings):
    """What a gateway process is told by its environment, besides what every service is told.

    Each time bounds one step; ``webhook_answer_timeout_s`` bounds all of them together, and stays well below Shopify's
    5 s, in which the way through the network must fit too.
    """

    public_base_url: Annotated[str, AfterValidator(_address)]
    encryption_key: EncryptionKey
    encryption_key_previous: EncryptionKey | None = None
    webhook_body_limit_bytes: int = Field(default=10 * 1024 * 1024, ge=1024, le=100 * 1024 * 1024)
    webhook_memory_limit_bytes: int = Field(default=128 * 1024 * 1024, ge=1024 * 1024)
    webhook_answer_timeout_s: float = Field(default=4, gt=0, le=30)
    webhook_read_timeout_s: float = Field(default=10, gt=0, le=60)
    accept_publish_timeout_s: float = Field(default=1, gt=0, le=3)
    spool_timeout_s: float = Field(default=2, gt=0, le=3)
    spool_connections: int = Field(default=16, ge=1, le=50)
    broker_pause_s: float = Field(default=2, ge=0, le=60)
    channel_lookup_timeout_s: float = Field(default=1, gt=0, le=3)
    channel_cache_entries: int = Field(default=10_000, ge=1, le=1_000_000)
    channel_cache_ttl_s: float = Field(default=30, gt=0, le=300)
    unverified_per_minute: int = Field(default=60, ge=1, le=100_000)
    channel_quota_per_minute: int = Field(default=6_000, ge=1, le=1_000_000)
    delivery_log_rows: int = Field(default=10_000, ge=1, le=1_000_000)
    delivery_log_bytes: int = Field(default=32 * 1024 * 1024, ge=1024 * 1024)
    delivery_keep_days: int = Field(default=30, ge=1, le=3_650)
    delivery_body_keep_days: int = Field(default=7, ge=1, le=3_650)
