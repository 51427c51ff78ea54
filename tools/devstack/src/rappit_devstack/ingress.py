"""The ingress's configuration, rendered from the template that Docker Compose uses too."""

import re
from collections.abc import Mapping
from pathlib import Path

from rappit_devstack import state
from rappit_devstack.errors import DevstackError

TEMPLATE = Path("deploy/ingress/nginx.conf.template")
_PLACEHOLDER = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")
# What would end a value early in nginx's language. Paths are quoted, so that spaces may stand in them.
_UNSAFE = re.compile(r"[\"\n\r;{}$\\]")


def render(template: str, values: Mapping[str, str]) -> str:
    """Fill a template's `${CAPITALS}`, as envsubst would.

    Raises:
        DevstackError: A value is missing, or holds what nginx's language would take apart.
    """

    def fill(found: re.Match[str]) -> str:
        name = found[1]
        if name not in values:
            raise DevstackError(f"The ingress template wants {name}, which nobody gives.")
        if _UNSAFE.search(values[name]):
            raise DevstackError(
                f"{name} = {values[name]!r} cannot stand in nginx's configuration: move the clone to a plainer path."
            )
        return values[name]

    without_comments = "\n".join(line for line in template.splitlines() if not line.lstrip().startswith("#"))
    return _PLACEHOLDER.sub(fill, without_comments) + "\n"


def write(folder: Path, values: Mapping[str, str]) -> Path:
    """Write nginx.conf into a folder and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    source = state.PROJECT / TEMPLATE
    try:
        template = source.read_text()
    except OSError as error:
        raise DevstackError(f"{source} cannot be read ({error.strerror}): is the checkout complete?") from None
    path = folder / "nginx.conf"
    path.write_text(render(template, values))
    return path
