"""Passwords: which are good enough, and how they are kept (argon2id)."""

import asyncio
import secrets
import unicodedata
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError
from rappit_common.errors import InvalidError

MIN_CHARACTERS = 12
MAX_CHARACTERS = 256

# OWASP's recommendation for argon2id: 19 MiB, two passes, one lane; about 30 ms of one core.
MEMORY_KIB = 19_456
PASSES = 2
LANES = 1
WORKERS = 2


class WeakPasswordError(InvalidError):
    """The password does not follow the policy."""

    code = "weak_password"


def check_password(password: str, email: str) -> None:
    """Return when a new password follows the policy: at least 12 characters, and not the e-mail address.

    Length is what makes a password hard to guess; rules about kinds of characters mostly make it hard to remember
    (NIST SP 800-63B).

    Raises:
        WeakPasswordError: It does not; the message says which rule.
    """
    normal = _normal(password)
    if len(normal) < MIN_CHARACTERS:
        raise WeakPasswordError(
            f"The password must have at least {MIN_CHARACTERS} characters; this one has {len(normal)}.",
            field="password",
        )
    if len(normal) > MAX_CHARACTERS:
        raise WeakPasswordError(f"The password must have at most {MAX_CHARACTERS} characters.", field="password")
    if normal.strip().lower() == email.strip().lower():
        raise WeakPasswordError("The password must not be the e-mail address.", field="password")


def _normal(password: str) -> str:
    # The same letters may arrive composed or decomposed, depending on the keyboard's system.
    return unicodedata.normalize("NFKC", password)


class Passwords:
    """Hashes and verifies passwords in threads of its own, so that the event loop never waits for them.

    At most two at once: memory stays bounded (2 x 19 MiB), and a flood of sign-ins queues here instead of taking every
    core.
    """

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES, type=Type.ID)
        self._threads = ThreadPoolExecutor(WORKERS, "argon2")
        self._nobodys_hash = self._hasher.hash(secrets.token_urlsafe(32))

    async def hash(self, password: str) -> str:
        """Return what may be stored for ``password``: an argon2id hash with its parameters and a random salt."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._hasher.hash, _normal(password))

    async def verify(self, stored: str | None, password: str) -> bool:
        """Tell whether ``password`` is the one that was stored.

        Args:
            stored: The hash, or None when there is no such account: the answer is no, and takes as long as any other.
            password: As typed.
        """
        if len(password) > MAX_CHARACTERS * 4:
            return False
        loop = asyncio.get_running_loop()
        matches = await loop.run_in_executor(
            self._threads, self._verify, stored or self._nobodys_hash, _normal(password)
        )
        return matches and stored is not None

    def needs_rehash(self, stored: str) -> bool:
        """Tell whether a hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(stored)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False
