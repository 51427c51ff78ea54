"""The images' recipe keeps its promises; read as files, and its small programs run, with no engine."""

import importlib.metadata
import os
import re
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from .compose_file import ROOT, services

RECIPE = ROOT / "deploy/docker/service.Dockerfile"
IMAGES = sorted({service["build"]["args"]["SERVICE"] for service in services().values() if "build" in service})
LINES = re.sub(r"\\\n(\s*#.*\n)*", " ", RECIPE.read_text()).splitlines()
STAGES = "\n".join(line for line in LINES if line and not line.startswith("#")).split("\nFROM ")[1:]
PINNED = re.compile(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", re.MULTILINE)


def pyproject(folder):
    return tomllib.loads((ROOT / folder / "pyproject.toml").read_text())


def locked(path):
    return dict(PINNED.findall(path.read_text()))


def test_builds_in_stages_of_which_only_the_last_runs():
    assert len(STAGES) == 3
    assert all(stage.startswith(("${PYTHON_IMAGE} ", "tools ")) for stage in STAGES)
    assert "COPY --from=builder" in STAGES[-1]
    assert not re.search(r"\b(uv|hatchling|gcc|apt-get)\b", STAGES[-1])
    assert "pip install" not in STAGES[-1]
    assert "rm -rf /usr/local/bin/pip*" in STAGES[-1]


def test_runs_as_a_numbered_user_without_root_privileges():
    assert re.findall(r"^USER (.*)$", STAGES[-1], re.MULTILINE) == ["10001:10001"]
    # After it nothing is installed or copied, which would belong to root or fail.
    assert not re.search(r"^(RUN|COPY)", STAGES[-1].split("USER 10001:10001")[1], re.MULTILINE)


def test_takes_nothing_from_addresses_and_needs_no_frontend_from_a_registry():
    text = RECIPE.read_text()
    assert not re.search(r"^ADD\b", text, re.MULTILINE)
    assert "://" not in text
    assert "syntax=" not in text


def test_installs_only_what_hashes_vouch_for():
    installs = [line for line in LINES if re.search(r"pip install", line)]
    assert len(installs) == 3
    for line in installs:
        assert "--require-hashes" in line or ("--offline" in line and "/build/wheels/" in line)


def test_starts_stops_and_reports_like_a_good_process():
    last = STAGES[-1]
    assert 'ENTRYPOINT ["/opt/rappit/bin/service"]' in last
    assert 'CMD ["serve"]' in last
    assert "STOPSIGNAL SIGTERM" in last
    assert re.search(r'HEALTHCHECK .*"/health/live"\]', last)
    assert "VOLUME" not in last
    for label in ("title", "description", "vendor", "version", "revision"):
        assert f"org.opencontainers.image.{label}=" in last


def test_build_secrets_and_context_leave_no_trace():
    assert set(re.findall(r"type=secret,id=(\w+)", RECIPE.read_text())) == {"ca"}
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert [rule for rule in rules if rule.startswith("!")] == [
        "!requirements.lock",
        "!libs",
        "!services",
        "!tools/doubles",
        "!deploy/docker",
    ]
    assert "**/.*" in rules


@pytest.mark.parametrize("folder", IMAGES)
def test_each_lock_holds_its_own_dependencies_whole_and_nothing_else(folder):
    lock = ROOT / folder / "requirements.lock"
    text = lock.read_text()
    assert "://" not in text
    pins = locked(lock)
    assert pins.items() <= locked(ROOT / "requirements.lock").items()
    entries = re.split(r"^(?=\S)", text, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in entry for entry in entries)
    needed = closure(folder)
    assert set(pins) <= needed
    # What is not locked is the workspace's own, or of another platform or an older Python, or left out on purpose.
    absent = {name for name in needed - set(pins) if installed(name)} - {"rappit-common", "django"}
    assert not absent


def installed(name):
    try:
        return importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def closure(folder):
    """Names reachable from a package's dependencies, on any platform, with the extras asked for on the way."""
    waiting = [Requirement(line) for line in pyproject(folder)["project"]["dependencies"]]
    seen = set()
    while waiting:
        requirement = waiting.pop()
        name, extras = canonicalize_name(requirement.name), {*requirement.extras, ""}
        if (name, *sorted(extras)) in seen:
            continue
        seen.add((name, *sorted(extras)))
        for line in (installed(name).requires if installed(name) else None) or []:
            needed = Requirement(line)
            asked = re.findall(r"extra\s*==\s*['\"]([^'\"]+)", str(needed.marker or ""))
            if not asked or extras & set(asked):
                waiting.append(needed)
    return {name for name, *_ in seen}


@pytest.mark.parametrize("folder", IMAGES)
def test_each_image_starts_the_command_its_package_declares(folder):
    (arguments,) = {
        tuple(
            sorted((key, value) for key, value in service["build"]["args"].items() if key in {"COMMAND", "LIBRARIES"})
        )
        for service in services().values()
        if "build" in service and service["build"]["args"]["SERVICE"] == folder
    }
    told = dict(arguments)
    assert list(pyproject(folder)["project"]["scripts"]) == [told["COMMAND"]]
    built_on = {name for name in closure(folder) if name.startswith("rappit-")}
    assert built_on == {
        pyproject(library)["project"]["name"] for library in told.get("LIBRARIES", "libs/common").split()
    }


@pytest.mark.parametrize("folder", IMAGES)
def test_each_wheel_carries_its_migrations(folder):
    wheel = pyproject(folder)["tool"]["hatch"]["build"]["targets"]["wheel"]
    if (ROOT / folder / "migrations").is_dir():
        (package,) = wheel["packages"]
        assert wheel["force-include"]["migrations"] == f"{package.removeprefix('src/')}/migrations"


class Health(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health/live" else 503)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_arguments):
        pass


def check(port, *paths):
    argv = [sys.executable, "-IS", str(ROOT / "deploy/docker/healthcheck"), *paths]
    return subprocess.run(argv, env={**os.environ, "HTTP_PORT": str(port)}, check=False, capture_output=True).returncode


def test_health_is_what_the_service_itself_answers():
    with ThreadingHTTPServer(("127.0.0.1", 0), Health) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_port
        assert check(port) == 0
        assert check(port, "/health/live") == 0
        assert check(port, "/health/ready") == 1
        server.shutdown()
    assert check(port) == 1


def test_pruning_takes_the_dead_weight_and_leaves_the_rest(tmp_path):
    packages = tmp_path / "lib/python3.13/site-packages"
    dead = ("phonenumbers/geodata/data0.py", "phonenumbers/tzdata/data0.py", "some/tests/test_it.py", "some/fast.pyx")
    alive = ("phonenumbers/data/region_DE.py", "some/testing.py", "some/fast.so", "sqlalchemy/orm/session.py")
    for name in (*dead, *alive):
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).touch()
    subprocess.run(["sh", str(ROOT / "deploy/docker/prune"), str(tmp_path)], check=True)
    assert not [name for name in dead if (packages / name).exists()]
    assert all((packages / name).exists() for name in alive)
