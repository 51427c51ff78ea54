"""Reads docker-compose.yml as Compose would, so that tests can ask it questions without an engine."""

import functools
import importlib.util
import re
from importlib.machinery import SourceFileLoader
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker-compose.yml"
# ${NAME}, ${NAME:-default} and ${NAME:?message}; a default may hold one more ${...}.
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])((?:[^{}]|\{[^{}]*\})*))?\}")
STORES = {"postgres", "rabbitmq", "redis"}


@functools.cache
def make_env():
    loader = SourceFileLoader("make_env", str(ROOT / "deploy/compose/make-env"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("make_env", loader))
    loader.exec_module(module)
    return module


@functools.cache
def raw():
    return yaml.safe_load(FILE.read_text())


def services():
    return raw()["services"]


def once():
    """The services that prepare something and end."""
    return {name for name, service in services().items() if service.get("restart") == "no"}


def conditions(service):
    """Its dependencies by name; the short form of depends_on means started."""
    depends = service.get("depends_on", {})
    return depends if isinstance(depends, dict) else {name: {"condition": "service_started"} for name in depends}


def fill(text, values):
    """Interpolate as Compose does; a required variable that is missing raises KeyError."""

    def replaced(match):
        name, operator, rest = match.groups()
        if values.get(name):
            return values[name]
        if operator == "?":
            raise KeyError(name)
        return fill(rest or "", values)

    return VARIABLE.sub(replaced, str(text)).replace("$$", "$")


def environment(name, values):
    """What a service's process is told."""
    return {key: fill(value, values) for key, value in services()[name].get("environment", {}).items()}
