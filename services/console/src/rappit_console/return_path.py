"""Where to go after signing in: only ever a page of the console itself."""

from urllib.parse import urlsplit

from rappit_console.session import COOKIE_PATH

HOME = f"{COOKIE_PATH}/"
SIGN_IN = f"{COOKIE_PATH}/sign-in"
MAX_CHARACTERS = 1_000


def safe_return_path(wanted: str | None) -> str:
    r"""Return ``wanted`` as a path when it is a page of the console, else the home page.

    Browsers read ``//host``, ``/\host`` and control characters in creative ways, so anything but a plain path below
    the console's own is turned down, and so is the sign-in page itself.
    """
    if not wanted or len(wanted) > MAX_CHARACTERS or not wanted.isprintable() or "\\" in wanted:
        return HOME
    parts = urlsplit(wanted)
    inside = parts.path.startswith(HOME) and "//" not in parts.path and "/." not in parts.path
    if not inside or parts.path == SIGN_IN:
        return HOME
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def path_of_page(url: str | None) -> str:
    """Return the return path for a page's whole address, as htmx names it in ``HX-Current-URL``."""
    return safe_return_path(url)
