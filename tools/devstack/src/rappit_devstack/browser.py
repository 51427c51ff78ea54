"""A Chromium for the browser tests, and what its driver lacks: on this machine, or extracted below the project.

Like a server it is never installed. Unlike a server it may be done without: where none can be had, a sentence says
why, and the tests that need it are skipped with that sentence.
"""

import importlib.util
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rappit_devstack import debian, state
from rappit_devstack.binaries import library_folders
from rappit_devstack.errors import DevstackError

VARIABLE = "RAPPIT_CHROMIUM"
REASON_VARIABLE = "RAPPIT_NO_CHROMIUM"
DRIVER_VARIABLE = "PLAYWRIGHT_NODEJS_PATH"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chromium-headless-shell")
# A third smaller than `chromium` on disk, and it needs neither GTK nor a display: all that Playwright asks for.
# Its data lies in a package of its own, which must be extracted beside it even where the machine has it installed.
PACKAGES = ("chromium-headless-shell", "chromium-common")
# What the Node in Playwright's wheel is linked with and a bare machine lacks.
DRIVER_PACKAGES = ("libatomic1",)
# Drivers of graphics cards and the compiler they bring: a third of what would be extracted, and no card is used.
WITHOUT = ("libgl1-mesa-dri_", "libllvm", "libz3-", "mesa-", "libgl1-amber-dri_")
PROGRAM = "usr/lib/chromium/chromium-headless-shell"
TRIAL_TIMEOUT_S = 60
TRIAL_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
)
TRIAL_PAGE = "data:text/html,<p>rendered</p>"
# The packages' own configuration points outside of their folder; these are the fonts that come along.
FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>{root}/usr/share/fonts</dir>
  <dir>/usr/share/fonts</dir>
  <cachedir>{root}/var/cache/fontconfig</cachedir>
  <alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
  <alias><family>serif</family><prefer><family>DejaVu Serif</family></prefer></alias>
  <match><edit name="family" mode="append_last"><string>DejaVu Sans</string></edit></match>
</fontconfig>
"""
ADVICE = f"install Chromium or Chrome, or set {VARIABLE} to its path"


@dataclass(frozen=True)
class Browser:
    """A browser that has rendered a page, or why there is none.

    Attributes:
        path: What to start, or None.
        reason: One sentence; empty when there is a browser.
        driver: What Playwright must start in place of its own Node, or None where that one runs.
    """

    path: Path | None
    reason: str = ""
    driver: Path | None = None

    def environment(self) -> dict[str, str]:
        """Return what the browser tests, and Playwright, read."""
        if self.path is None:
            return {VARIABLE: "", REASON_VARIABLE: self.reason}
        return {VARIABLE: str(self.path)} | ({DRIVER_VARIABLE: str(self.driver)} if self.driver else {})


def folder() -> Path:
    """Where the extracted browser lies; apart from the servers, so that neither fetch waits for the other."""
    return state.home() / "servers" / "browser"


def ensure(*, say: Callable[[str], None], environment: Mapping[str, str] = os.environ) -> Browser:
    """Find a browser that renders, and fetch one where there is none.

    Args:
        say: Told what is being fetched, and why there is no browser.
        environment: Where a path given by a person, and PATH, are looked for.

    Raises:
        DevstackError: The one that RAPPIT_CHROMIUM names does not work; no other is taken in its place.
    """
    given = environment.get(VARIABLE)
    if given and (trouble := try_out(Path(given))):
        raise DevstackError(f"{VARIABLE}={given} does not work as a browser: {trouble}. Correct it, or unset it.")
    try:
        found = Path(given) if given else _on_path(environment) or _extracted(folder(), say)
        return Browser(found, driver=_driver(folder(), say))
    except DevstackError as error:
        say(f"the browser tests will be skipped: {error}")
        return Browser(None, str(error))


def _on_path(environment: Mapping[str, str]) -> Path | None:
    # A name in PATH may be a stub that only tells how to install the real one, as Ubuntu's is.
    for name in NAMES:
        found = shutil.which(name, path=environment.get("PATH", os.defpath))
        if found and not try_out(Path(found)):
            return Path(found)
    return None


def _extracted(root: Path, say: Callable[[str], None]) -> Path:
    launcher = root / "chromium"
    if launcher.exists() and not try_out(launcher):
        return launcher
    _fetch(PACKAGES, root, "Chromium", say)
    write_launcher(root, root / PROGRAM, launcher)
    if trouble := try_out(launcher):
        raise DevstackError(
            f"the Chromium extracted into {root} does not run ({trouble}): remove that folder, or {ADVICE}"
        )
    return launcher


def _driver(root: Path, say: Callable[[str], None]) -> Path | None:
    """Return what starts Playwright's Node with the library it lacks here; None where it lacks nothing."""
    package = importlib.util.find_spec("playwright")
    node = Path(package.origin).parent / "driver/node" if package and package.origin else None
    if node is None or not _complaint([str(node), "--version"], "v"):
        return None
    launcher = root / "node"
    if not launcher.exists() or _complaint([str(launcher), "--version"], "v"):
        _fetch(DRIVER_PACKAGES, root, "a library of Playwright's", say)
        write_launcher(root, node, launcher)
    if trouble := _complaint([str(launcher), "--version"], "v"):
        raise DevstackError(f"the Node that drives the browser does not run here ({trouble})")
    return launcher


def _fetch(packages: tuple[str, ...], root: Path, what: str, say: Callable[[str], None]) -> None:
    if not is_debian(Path("/etc/os-release")) or shutil.which("apt-get") is None:
        raise DevstackError(
            f"this machine lacks {what}, and only Debian has it as a package that can be extracted: "
            f"install {', '.join(packages)}, or {ADVICE}"
        )
    say(f"fetching {what} as Debian packages into {root} (nothing is installed)")
    try:
        debian.fetch(packages, root, without=WITHOUT)
    except DevstackError as error:
        # Its first line says what is wrong; the rest is apt's own words.
        first = str(error).splitlines()[0]
        raise DevstackError(f"this machine lacks {what}, and it could not be fetched: {first}") from error


def is_debian(os_release: Path) -> bool:
    """Tell whether Debian's packages are this machine's own; Ubuntu's browser is a snap, which cannot be extracted."""
    try:
        lines = os_release.read_text().splitlines()
    except OSError:
        return False
    facts = dict(line.split("=", 1) for line in lines if "=" in line)
    kin = {word for name in ("ID", "ID_LIKE") for word in facts.get(name, "").strip("\"'").split()}
    return "debian" in kin and "ubuntu" not in kin


def write_launcher(root: Path, program: Path, launcher: Path) -> None:
    """Write the script that starts a program with the libraries and fonts extracted below root."""
    fonts = root / "fonts.conf"
    fonts.write_text(FONTS.format(root=root))
    folders = library_folders(root)
    # Some libraries keep private ones in a folder of their own, whose place in the file system is built into them.
    folders += sorted({found.parent for folder in folders for found in folder.glob("*/lib*.so*")} - set(folders))
    libraries = os.pathsep.join(map(str, folders))
    launcher.write_text(
        "#!/bin/sh\n# Written by rappit-devstack.\n"
        f"export LD_LIBRARY_PATH='{libraries}' FONTCONFIG_FILE='{fonts}'\n"
        f"exec '{program}' \"$@\"\n"
    )
    launcher.chmod(launcher.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def try_out(program: Path) -> str:
    """Render a page with it, in a profile that is thrown away; returns what went wrong, or nothing."""
    with tempfile.TemporaryDirectory(prefix="rappit-browser-", ignore_cleanup_errors=True) as profile:
        argv = [str(program), *TRIAL_FLAGS, f"--user-data-dir={profile}", "--dump-dom", TRIAL_PAGE]
        return _complaint(argv, "<p>rendered</p>")


def _complaint(argv: list[str], expected: str) -> str:
    """Run a program and return why it did not say what is expected, or nothing."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TRIAL_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it did not answer within {TRIAL_TIMEOUT_S} s"
    except OSError as error:
        return error.strerror or repr(error)
    if expected in done.stdout:
        return ""
    last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
    return f"status {done.returncode}, {last[:300]}"
