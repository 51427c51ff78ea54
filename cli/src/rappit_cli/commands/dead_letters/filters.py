"""The options that say which dead letters, the same on every command that filters."""

import functools
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import typer

_AGO = re.compile(r"(\d{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Status(StrEnum):
    """Where a dead letter stands."""

    DEAD = "dead"
    REQUEUEING = "requeueing"
    REQUEUED = "requeued"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which dead letters: the API's own filter, as query and as body alike, holding only what was asked for."""

    members: dict[str, str | list[str]]

    def __bool__(self) -> bool:
        return bool(self.members)


def _option(name: str, kind: Any, words: str) -> Any:
    return Annotated[kind, typer.Option(name, help=words, rich_help_panel="Which letters")]


_Many = list[str] | None
_WHEN = "an RFC 3339 time, or how long ago: 30m, 2h, 3d."
# The API's name of each, and the option. Values of one option are alternatives; options narrow each other.
_OPTIONS: dict[str, tuple[str, Any]] = {
    "status": ("status", _option("--status", list[Status] | None, "Only those that stand so; may be repeated.")),
    "queue": ("queue", _option("--queue", _Many, "Only of this queue; may be repeated, as all below.")),
    "not_queue": ("not_queue", _option("--not-queue", _Many, "Not of this queue.")),
    "event": ("event", _option("--event", _Many, "Only this event.")),
    "not_event": ("not_event", _option("--not-event", _Many, "Not this event.")),
    "tenant": ("organization_id", _option("--tenant", _Many, "Only of this organization's id.")),
    "not_tenant": ("not_organization_id", _option("--not-tenant", _Many, "Not of this organization's id.")),
    "error": ("error_type", _option("--error", _Many, "Only this type of error.")),
    "not_error": ("not_error_type", _option("--not-error", _Many, "Not this type of error.")),
    "group": ("group", _option("--group", _Many, "Only this group's key, as `groups` shows it.")),
    "not_group": ("not_group", _option("--not-group", _Many, "Not this group's key.")),
    "text": (
        "text",
        _option("--text", str | None, 'Words of the error or the body: a "phrase", -word to exclude, or.'),
    ),
    "since": ("failed_since", _option("--since", str | None, f"Failed last since: {_WHEN}")),
    "until": ("failed_before", _option("--until", str | None, f"Failed last before: {_WHEN}")),
}


def filtered(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the filter's options, and hand it what they say as ``wanted``."""
    parameters = inspect.signature(command, eval_str=True).parameters

    @functools.wraps(command)
    def with_filter(**given: Any) -> None:
        asked = {name: given.pop(name) for name in _OPTIONS}
        command(**given, wanted=filter_of(asked, now=datetime.now(UTC)))

    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, (_, annotation) in _OPTIONS.items()
    ]
    own = [parameter for parameter in parameters.values() if parameter.name != "wanted"]
    # What the command line is made from.
    with_filter.__signature__ = inspect.Signature([*own, *options])  # pyright: ignore[reportAttributeAccessIssue] - Python's own hook for this
    return with_filter


def filter_of(asked: dict[str, Any], *, now: datetime) -> Filter:
    """Return the filter that the options' values stand for.

    Raises:
        BadParameter: A time is none.
    """
    members: dict[str, str | list[str]] = {}
    for name, (member, _) in _OPTIONS.items():
        value = asked.get(name)
        if not value:
            continue
        if name in {"since", "until"}:
            members[member] = moment(str(value), f"--{name}", now=now)
        else:
            members[member] = str(value) if name == "text" else [str(one) for one in value]
    return Filter(members)


def moment(text: str, option: str, *, now: datetime) -> str:
    """Return a time as the API reads it.

    Raises:
        BadParameter: It is neither RFC 3339 with an offset nor a duration.
    """
    ago = _AGO.fullmatch(text.strip())
    try:
        if ago:
            return (now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})).isoformat()
        read = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        read = None
    if read is None or read.tzinfo is None:
        raise typer.BadParameter(f"{text!r} is neither an RFC 3339 time with an offset nor like 2h.", param_hint=option)
    return read.isoformat()
