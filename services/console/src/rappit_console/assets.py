"""Style, script and pictures, held in memory and named by their content, so that browsers keep them for good.

htmx comes out of the installed package ``django-htmx``, which carries it; nothing of Django is imported.
"""

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from rappit_console.session import COOKIE_PATH

_HERE = Path(__file__).parent / "static"
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


class MissingAssetError(Exception):
    """A file that every page needs is not installed."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One file: its bytes, its media type and the first digits of its SHA-256."""

    content: bytes
    media_type: str
    version: str


class Assets:
    """The files that pages link to.

    Raises:
        MissingAssetError: htmx is not where its package keeps it.
    """

    def __init__(self) -> None:
        files = {path.name: path for path in sorted(_HERE.iterdir()) if path.suffix in _TYPES}
        files["htmx.js"] = _htmx()
        self._assets = {name: _load(path) for name, path in files.items()}

    def get(self, name: str) -> Asset | None:
        """Return a file, or None when there is none of that name."""
        return self._assets.get(name)

    def url(self, name: str) -> str:
        """Return the address of a file; it changes when the content does."""
        return f"{COOKIE_PATH}/static/{name}?v={self._assets[name].version}"


def _load(path: Path) -> Asset:
    content = path.read_bytes()
    return Asset(content, _TYPES[path.suffix], hashlib.sha256(content).hexdigest()[:12])


def _htmx() -> Path:
    spec = find_spec("django_htmx")
    if spec is None or spec.origin is None:
        raise MissingAssetError("the package django-htmx, which carries htmx, is not installed")
    path = Path(spec.origin).parent / "static" / "django_htmx" / "htmx-2.min.js"
    if not path.is_file():
        raise MissingAssetError(f"the installed django-htmx has no {path.name}: install the locked version")
    return path
