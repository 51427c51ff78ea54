"""Encryption of stored secrets (channel secrets, carrier credentials)."""

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import SecretStr


class UndecryptableError(Exception):
    """A stored secret was encrypted with a key that this process was not given."""


class SecretBox:
    """Encrypts and decrypts small secrets with authenticated encryption (Fernet: AES-128-CBC with HMAC-SHA256).

    Args:
        key: 32 bytes in URL-safe base64, used for new values.
        previous: The key before, still accepted for reading, so that a key can be rotated without a gap.
    """

    def __init__(self, key: SecretStr, previous: SecretStr | None = None) -> None:
        keys = [key] if previous is None else [key, previous]
        self._fernet = MultiFernet([Fernet(k.get_secret_value().encode()) for k in keys])

    def encrypt(self, plaintext: str) -> bytes:
        """Return a token that only a holder of the key can read or change."""
        return self._fernet.encrypt(plaintext.encode())

    def decrypt(self, token: bytes) -> str:
        """Return the plaintext.

        Raises:
            UndecryptableError: The token was tampered with, or made with another key.
        """
        try:
            return self._fernet.decrypt(token).decode()
        except InvalidToken as error:
            raise UndecryptableError(
                "a stored secret cannot be read with ENCRYPTION_KEY: was the key changed?"
            ) from error
