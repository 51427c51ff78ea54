"""Where the server programs are: on this machine, or extracted below the project."""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rappit_devstack import debian, state
from rappit_devstack.errors import DevstackError

SYSTEM = Path("/")


@dataclass(frozen=True)
class Programs:
    """One server's programs and the root of the file system they were built for."""

    root: Path
    paths: Mapping[str, Path]

    def __getitem__(self, name: str) -> str:
        """Return a program's absolute path."""
        return str(self.paths[name])

    def environment(self) -> dict[str, str]:
        """Return what the programs need in their environment to find their shared libraries."""
        if self.root == SYSTEM:
            return {}
        return {"LD_LIBRARY_PATH": os.pathsep.join(map(str, library_folders(self.root)))}


@dataclass(frozen=True)
class Kind:
    """How to find one server, and the Debian package that holds it."""

    title: str
    package: str
    find: Callable[[Path], dict[str, Path] | None]


def library_folders(root: Path) -> list[Path]:
    """Return where packages extracted below root keep their shared libraries."""
    return [*root.glob("usr/lib/*-linux-gnu*"), *root.glob("lib/*-linux-gnu*"), root / "usr/lib"]


def cache() -> Path:
    """The folder of extracted packages, shared by all stacks of this clone."""
    return state.home() / "servers" / "root"


def _in_path(root: Path, name: str) -> Path | None:
    if root == SYSTEM:
        search = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])
        found = shutil.which(name, path=search)
        return Path(found) if found else None
    return next((folder / name for folder in (root / "usr/bin", root / "usr/sbin") if (folder / name).exists()), None)


def _version(folder: Path) -> tuple[int, ...]:
    """Sort key of `/usr/lib/postgresql/15` or `erts-13.1.5`."""
    digits = folder.name.rpartition("-")[2]
    return tuple(int(part) for part in digits.split(".") if part.isdigit())


def _postgres(root: Path) -> dict[str, Path] | None:
    names = ("initdb", "postgres")
    folders = sorted((root / "usr/lib/postgresql").glob("[0-9]*"), key=_version, reverse=True)
    places = [folder / "bin" for folder in folders]
    if root == SYSTEM and (on_path := shutil.which("initdb")):
        # The links of a PATH folder would hide where PostgreSQL's other files are.
        places.append(Path(on_path).resolve().parent)
    return next(({n: place / n for n in names} for place in places if all((place / n).exists() for n in names)), None)


def _rabbitmq(root: Path) -> dict[str, Path] | None:
    server = root / "usr/lib/rabbitmq/bin/rabbitmq-server"
    erlang = root / "usr/lib/erlang"
    runtimes = sorted(erlang.glob("erts-*"), key=_version)
    if not server.exists() or not runtimes:
        return None
    binaries = runtimes[-1] / "bin"
    found = {
        "server": server,
        "erlang": erlang,
        "runtime": binaries,
        "erlexec": binaries / "erlexec",
        "epmd": binaries / "epmd",
    }
    # Debian keeps epmd in /usr/bin, other packagings only below the runtime.
    if not found["epmd"].exists():
        found["epmd"] = root / "usr/bin/epmd"
    return found if all(path.exists() for path in found.values()) else None


def _one(name: str) -> Callable[[Path], dict[str, Path] | None]:
    def find(root: Path) -> dict[str, Path] | None:
        path = _in_path(root, name)
        return {name: path} if path else None

    return find


KINDS: Mapping[str, Kind] = {
    "postgres": Kind("PostgreSQL", "postgresql", _postgres),
    "rabbitmq": Kind("RabbitMQ", "rabbitmq-server", _rabbitmq),
    "redis": Kind("Redis", "redis-server", _one("redis-server")),
    "nginx": Kind("nginx", "nginx", _one("nginx")),
}


def locate(name: str, *, system: Path = SYSTEM, extracted: Path | None = None) -> Programs | None:
    """Find a server's programs without fetching anything: the machine's own first, then the extracted ones."""
    for root in (system, extracted or cache()):
        paths = KINDS[name].find(root)
        if paths is not None:
            return Programs(root, paths)
    return None


def ensure(*names: str, say: Callable[[str], None]) -> dict[str, Programs]:
    """Find servers' programs, and fetch and extract the packages of those that are nowhere.

    Args:
        names: Of "postgres", "rabbitmq", "redis", "nginx".
        say: Told what is being fetched.

    Raises:
        DevstackError: They cannot be had; it says what to install.
    """
    found = {name: locate(name) for name in names}
    missing = [name for name, programs in found.items() if programs is None]
    if missing:
        titles = ", ".join(KINDS[name].title for name in missing)
        say(f"fetching {titles} as Debian packages into {cache()} (nothing is installed)")
        debian.fetch([KINDS[name].package for name in missing], cache())
        found.update({name: locate(name) for name in missing})
    result = {name: programs for name, programs in found.items() if programs is not None}
    for name in set(names) - set(result):
        kind = KINDS[name]
        raise DevstackError(
            f"The package {kind.package} was fetched, but it holds no {kind.title} this tool knows how to run. "
            f"Install it (sudo apt-get install {kind.package}), or remove {cache()} and try again."
        )
    return result
