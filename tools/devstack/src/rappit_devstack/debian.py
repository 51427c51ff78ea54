"""Server programs out of Debian packages, extracted below the project and never installed.

apt is given folders of its own, so neither the machine's package database nor its services change and no root is
needed; it still verifies every signature against the machine's own keys and sources.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from rappit_devstack import state
from rappit_devstack.errors import DevstackError

NEEDED_FREE_BYTES = 600_000_000
APT_TIMEOUT_S = 300
# Mixing the machine's dynamic linker with another C library does not end well, and stable releases never need it.
LEFT_OUT = ("libc6_", "libc-bin_", "libc6-")


def fetch(packages: Iterable[str], root: Path, *, without: tuple[str, ...] = ()) -> None:
    """Download packages with what they depend on, and extract them below root.

    Args:
        packages: Their names.
        root: The folder that becomes their file system.
        without: Beginnings of names of what they depend on and can do without; such packages are not extracted.

    Raises:
        DevstackError: No apt here, no network, no disk, or no such package.
    """
    names = sorted(packages)
    missing_tools = [tool for tool in ("apt-get", "dpkg") if shutil.which(tool) is None]
    if missing_tools:
        raise DevstackError(
            f"{', '.join(names)} and {', '.join(missing_tools)} are not on this machine: install PostgreSQL, RabbitMQ "
            "(with Erlang), Redis and nginx with your system's package manager, start Docker with Compose, or set "
            "RAPPIT_POSTGRES_URL, RAPPIT_RABBITMQ_URL, RAPPIT_RABBITMQ_MANAGEMENT_URL and RAPPIT_REDIS_URL."
        )
    root.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(root).free
    if free < NEEDED_FREE_BYTES:
        raise DevstackError(
            f"{root} has {free // 1_000_000} MB left, and the servers need {NEEDED_FREE_BYTES // 1_000_000} MB: "
            "free some disk space."
        )
    with state.locked(root / ".lock"):
        stamp = root / ".extracted"
        extracted = set(stamp.read_text().split()) if stamp.exists() else set[str]()
        wanted = [name for name in names if name not in extracted]
        if not wanted:
            return
        for archive in _download(wanted, root / "apt"):
            if not archive.name.startswith(LEFT_OUT + without):
                _run(["dpkg", "-x", str(archive), str(root)], f"{archive.name} could not be extracted")
        shutil.rmtree(root / "apt")
        stamp.write_text("\n".join(sorted(extracted | set(wanted))) + "\n")


def _download(names: list[str], apt: Path) -> list[Path]:
    for part in ("state/lists/partial", "cache/archives/partial", "log"):
        (apt / part).mkdir(parents=True, exist_ok=True)
    status = apt / "state/status"
    shutil.copyfile("/var/lib/dpkg/status", status)
    options = {
        "Dir::State": apt / "state",
        "Dir::State::Lists": apt / "state/lists",
        "Dir::State::status": status,
        "Dir::State::extended_states": apt / "state/extended_states",
        "Dir::Cache": apt / "cache",
        "Dir::Cache::archives": apt / "cache/archives",
        "Dir::Log": apt / "log",
        "Debug::NoLocking": "1",
        "APT::Sandbox::User": "",
        "APT::Install-Recommends": "0",
        "APT::Install-Suggests": "0",
        "Acquire::Retries": "3",
        "Acquire::Languages": "none",
    }
    arguments = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
    # One unreachable extra source makes `update` fail although Debian's own lists arrived: the download decides.
    updated = _try(["apt-get", *arguments, "-q", "update"])
    # --reinstall: a package the machine thinks it has may lack its files (slim images).
    result = _try(["apt-get", *arguments, "-q", "-y", "--download-only", "--reinstall", "install", *names])
    archives = sorted((apt / "cache/archives").glob("*.deb"))
    if result.returncode != 0 or not archives:
        reason = "\n".join(f"    {line}" for line in (updated.stdout + result.stdout).splitlines()[-12:])
        raise DevstackError(
            f"The packages {', '.join(names)} could not be downloaded. Check the network (or the proxy in /etc/apt), "
            f"or install them yourself: sudo apt-get install {' '.join(names)}\n{reason}"
        )
    return archives


def _try(argv: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        return subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            timeout=APT_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DevstackError(
            f"`{argv[0]}` took longer than {APT_TIMEOUT_S} s: check the network and try again."
        ) from None


def _run(argv: list[str], complaint: str) -> None:
    result = _try(argv)
    if result.returncode != 0:
        raise DevstackError(f"{complaint}: {result.stdout.strip()[-400:]}")
