"""The stored session: one file that only its owner can read."""

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Generator
from dataclasses import asdict, dataclass
from pathlib import Path

from rappit_cli.errors import CliError

FILE_MODE = 0o600
FOLDER_MODE = 0o700


@dataclass(frozen=True, slots=True)
class Session:
    """Who is signed in, and where.

    Attributes:
        url: Address of the ingress, without a slash at its end.
        email: Whose session it is.
        access_token: Proof for requests.
        expires_at_s: When the proof ends, in seconds of the epoch.
        refresh_token: Good for one use, gives the next pair.
    """

    url: str
    email: str
    access_token: str
    expires_at_s: float
    refresh_token: str

    def __repr__(self) -> str:
        return f"Session(url={self.url!r}, email={self.email!r})"


def config_folder() -> Path:
    """Return ``rappit`` in the XDG configuration folder."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(base) if base and Path(base).is_absolute() else Path.home() / ".config") / "rappit"


class SessionStore:
    """Keeps the session in ``session.json``, mode 0600.

    Args:
        folder: Made with mode 0700 when it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "session.json"

    def load(self) -> Session | None:
        """Return the session, or None when nobody is signed in.

        Raises:
            CliError: The file cannot be read or is not ours.
        """
        try:
            text = self._file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CliError(f"{self._file} cannot be read: {error.strerror}") from error
        try:
            values = json.loads(text)
            return Session(
                url=str(values["url"]),
                email=str(values["email"]),
                access_token=str(values["access_token"]),
                expires_at_s=float(values["expires_at_s"]),
                refresh_token=str(values["refresh_token"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise CliError(f"{self._file} is damaged: remove it and run `rappit login`.") from error

    def save(self, session: Session) -> None:
        """Replace the session in one step, so that nobody ever reads half of it."""
        self._make_folder()
        descriptor, name = tempfile.mkstemp(dir=self._folder, prefix=".session-")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                os.fchmod(descriptor, FILE_MODE)
                json.dump(asdict(session), file)
            Path(name).replace(self._file)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def forget(self) -> None:
        """Remove the session."""
        self._file.unlink(missing_ok=True)

    @contextlib.contextmanager
    def locked(self) -> Generator[None]:
        """Let one process at a time refresh: a refresh token used twice would end the session."""
        self._make_folder()
        with (self._folder / ".lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _make_folder(self) -> None:
        try:
            self._folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        except OSError as error:
            raise CliError(f"{self._folder} cannot be made: {error.strerror}") from error
