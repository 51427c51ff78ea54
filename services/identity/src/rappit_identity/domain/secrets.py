"""Secrets we hand out: random, shown once, stored as hashes only.

A plain SHA-256 is enough for them, unlike for passwords: 256 random bits cannot be guessed however fast the hash is.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from uuid import UUID

from rappit_common.errors import NotFoundError, UnauthenticatedError

SECRET_BYTES = 32
MAX_API_KEY_CHARACTERS = 200
MAX_REFRESH_TOKEN_CHARACTERS = 200

_API_KEY = re.compile(r"rk_([0-9a-f]{32})_([A-Za-z0-9_-]{43})")


class InvalidRefreshTokenError(UnauthenticatedError):
    """Unknown, expired, revoked or used before. One answer for all: the difference is nobody's business."""

    code = "invalid_refresh_token"


class InvalidApiKeyError(UnauthenticatedError):
    """Unknown, malformed or revoked."""

    code = "invalid_api_key"


class InvalidCredentialsError(UnauthenticatedError):
    """No account has this e-mail address and password. It does not say which of the two is wrong."""

    code = "invalid_credentials"


class ApiKeyNotFoundError(NotFoundError):
    """No such key in this organization."""

    code = "api_key_not_found"


def new_secret() -> str:
    """Return 256 random bits as 43 URL-safe characters."""
    return secrets.token_urlsafe(SECRET_BYTES)


def digest(secret: str) -> bytes:
    """Return what is stored of a secret: its SHA-256, 32 bytes."""
    return hashlib.sha256(secret.encode()).digest()


@dataclass(frozen=True, slots=True)
class ApiKeySecret:
    """An API key as its holder sees it: ``rk_<id>_<secret>``."""

    id: UUID
    secret: str

    @classmethod
    def parse(cls, text: str) -> "ApiKeySecret":
        """Read a key.

        Raises:
            InvalidApiKeyError: It does not have a key's form.
        """
        match = _API_KEY.fullmatch(text.strip())
        if match is None:
            raise InvalidApiKeyError("The API key is not valid.")
        return cls(UUID(match[1]), match[2])

    def __str__(self) -> str:
        return f"rk_{self.id.hex}_{self.secret}"

    def __repr__(self) -> str:
        return f"ApiKeySecret(id={self.id})"

    def matches(self, stored: bytes) -> bool:
        """Tell, in constant time, whether ``stored`` is this key's digest."""
        return hmac.compare_digest(digest(self.secret), stored)
