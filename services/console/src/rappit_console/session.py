"""The session: who is signed in, sealed into a cookie, so that any replica can serve any request."""

import base64
from dataclasses import dataclass

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError
from rappit_common.web.auth import Role

COOKIE = "rappit_session"
COOKIE_PATH = "/console"
MAX_COOKIE_BYTES = 3_900  # browsers drop a cookie past 4,096 bytes, attributes included


class OversizeSessionError(Exception):
    """The tokens do not fit into a cookie."""


class Session(BaseModel):
    """A signed-in person.

    Attributes:
        access_token: Sent to the APIs.
        refresh_token: Exchanged for the next access token.
        expires_at_s: When the access token ends, in seconds since the epoch.
        role: Decides which navigation is shown; what is allowed is decided by the APIs alone.
        label: The person's e-mail address.
        organization_id: The tenant, None for operators.
        organization_name: As people call it, when the API tells.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    access_token: str
    refresh_token: str
    expires_at_s: float
    role: Role
    label: str
    organization_id: str | None = None
    organization_name: str | None = None

    @property
    def is_operator(self) -> bool:
        """Whether this person runs the platform rather than a shop."""
        return self.role in {Role.OPERATOR, Role.OPERATOR_VIEWER}

    @property
    def may_write(self) -> bool:
        """Whether buttons that change something are worth showing."""
        return self.role not in {Role.VIEWER, Role.OPERATOR_VIEWER}


@dataclass(slots=True)
class SessionHolder:
    """The session of one request.

    Attributes:
        current: Who is signed in, None when nobody is.
        changed: Whether the answer must set the cookie anew.
        address: Where the request came from.
    """

    current: Session | None = None
    changed: bool = False
    address: str = ""

    def put(self, session: Session | None) -> None:
        """Replace the session (None signs out); the answer carries the new cookie."""
        self.current = session
        self.changed = True


class SessionSeal:
    """Encrypts sessions into cookies and back (Fernet; its key is derived from the secret by HKDF-SHA256).

    Args:
        secret: ``SESSION_SECRET``.
        previous: The secret before, still accepted for reading.
        lifetime_s: Cookies older than this are no session.
    """

    def __init__(self, secret: SecretStr, previous: SecretStr | None, *, lifetime_s: int) -> None:
        secrets = [secret] if previous is None else [secret, previous]
        self._fernet = MultiFernet([Fernet(_key(value)) for value in secrets])
        self._lifetime_s = lifetime_s

    def seal(self, session: Session) -> str:
        """Return the cookie's value.

        Raises:
            OversizeSessionError: It would be larger than browsers keep.
        """
        sealed = self._fernet.encrypt(session.model_dump_json().encode())
        if len(sealed) > MAX_COOKIE_BYTES:
            raise OversizeSessionError(f"The session takes {len(sealed)} bytes, and browsers keep {MAX_COOKIE_BYTES}")
        return sealed.decode()

    def open(self, cookie: str | None) -> Session | None:
        """Return the session, or None when the cookie is absent, forged, stale or of another make."""
        if not cookie or len(cookie) > MAX_COOKIE_BYTES:
            return None
        try:
            return Session.model_validate_json(self._fernet.decrypt(cookie.encode(), ttl=self._lifetime_s))
        except (InvalidToken, ValidationError, UnicodeEncodeError):
            return None


def _key(secret: SecretStr) -> bytes:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"rappit console session v1").derive(
        secret.get_secret_value().encode()
    )
    return base64.urlsafe_b64encode(derived)
