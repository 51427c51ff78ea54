"""What the console is told by its environment."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field
from rappit_common.settings import ProcessSettings, StrongSecret


def _address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise ValueError("must be an address such as http://localhost:8080")
    return value.rstrip("/")


Address = Annotated[str, AfterValidator(_address)]


class ConsoleSettings(ProcessSettings):
    """Settings of the console.

    Attributes:
        api_base_url: The ingress as seen from here; every call of the console goes there.
        identity_base_url: Identity itself, for signing in: through the ingress, all who sign in by the console would
            count as one source. Identity must trust the console (``TRUSTED_PROXIES``). The ingress when not given.
        public_base_url: The ingress as seen by browsers; https makes the session cookie Secure always.
        session_secret: Encrypts the session cookie.
        session_secret_previous: The secret before, still read, so that a rotation signs nobody out.
        session_lifetime_s: How long an unused session lives.
        api_timeout_s: For a call; buying a label waits for a carrier.
        import_timeout_s: For a stock import.
        api_connections: Open connections to the ingress at most.
        api_answer_limit_bytes: An answer past this is refused rather than held in memory.
    """

    api_base_url: Address
    identity_base_url: Address | None = None
    public_base_url: Address | None = None
    session_secret: StrongSecret
    session_secret_previous: StrongSecret | None = None
    session_lifetime_s: int = Field(default=7 * 24 * 3600, ge=300, le=90 * 24 * 3600)
    api_timeout_s: float = Field(default=45, gt=0, le=300)
    import_timeout_s: float = Field(default=600, gt=0, le=3600)
    api_connections: int = Field(default=100, ge=1, le=1000)
    api_answer_limit_bytes: int = Field(default=32 * 1024 * 1024, ge=64 * 1024)
