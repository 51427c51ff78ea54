"""Running PostgreSQL from a root shell, which it refuses by itself."""

import functools
import os
import pwd
import shutil
import subprocess
from pathlib import Path

from rappit_devstack.errors import DevstackError

NOBODY = 65534


@functools.cache
def _works(*prefix: str) -> bool:
    if shutil.which(prefix[0]) is None:
        return False
    return subprocess.run([*prefix, "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


NAMESPACE = ("unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--")
OTHER_USER = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=-all")


def prefix(folder: Path) -> tuple[str, ...]:
    """Return the words to put before a command that must not see itself as root.

    Nothing for an ordinary user. For root, and for a user without a name, a user namespace, in which files stay
    their owner's; where that is forbidden to root, the user nobody, to whom the folder is then given.

    Args:
        folder: The program's data folder, which exists and is ours.

    Raises:
        DevstackError: Neither way is open.
    """
    if os.geteuid() != 0:
        # initdb also wants to know its user's name, which a container's arbitrary uid lacks.
        return () if _has_name(os.geteuid()) or not _works(*NAMESPACE) else NAMESPACE
    if _works(*NAMESPACE):
        return NAMESPACE
    if _works(*OTHER_USER):
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        if subprocess.run([*OTHER_USER, "test", "-w", str(folder)], check=False).returncode == 0:
            return OTHER_USER
        raise DevstackError(
            "PostgreSQL refuses to run as root, user namespaces are forbidden here, and the user nobody cannot enter "
            f"{folder}: run as an ordinary user, or let others enter the clone's parent folders (chmod o+x)."
        )
    raise DevstackError(
        "PostgreSQL refuses to run as root, and neither `unshare --user` nor `setpriv` works here: run as an ordinary "
        "user, allow user namespaces (sysctl kernel.unprivileged_userns_clone=1), or set RAPPIT_POSTGRES_URL."
    )
