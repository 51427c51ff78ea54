"""``dead-letters runs``, ``run`` and ``stop-run``; and watching a run."""

import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from rappit_cli.client import Api
from rappit_cli.commands.dead_letters.selecting import DEFAULT_REASON, Reason
from rappit_cli.commands.dead_letters.services import Across, Found, OfServices, Service, is_away
from rappit_cli.connection import DEFAULT_ROWS, AsJson, Limit, connected, segment
from rappit_cli.errors import CliError
from rappit_cli.output import note_more, print_facts, print_json, print_line, print_table, tell

POLL_S = 1.0
# A service may be restarted meanwhile: its run goes on.
MAX_MISSES = 30

RunId = Annotated[str, typer.Argument(help="The requeue run's id.")]
Follow = Annotated[bool, typer.Option("--follow", help="Show progress until it is done or stopped; 1 when stopped.")]

_COLUMNS = [
    ("service", "SERVICE"),
    ("state", "STATE"),
    ("stage", "STAGE"),
    ("total", "TOTAL"),
    ("sent", "SENT"),
    ("handled", "HANDLED"),
    ("failed", "FAILED AGAIN"),
    ("requested_by", "BY"),
    ("created_at", "BEGUN"),
    ("stop_reason", "STOPPED FOR"),
    ("id", "ID"),
]
_FACTS = [
    ("id", "Id"),
    ("service", "Service"),
    ("state", "State"),
    ("stage", "Stage"),
    ("canary", "Canary first"),
    ("rate_per_s", "Rate per second"),
    ("total", "Total"),
    ("sent", "Sent"),
    ("handled", "Handled"),
    ("failed", "Failed again"),
    ("reason", "Reason"),
    ("stop_reason", "Stopped for"),
    ("requested_by", "Requested by"),
    ("created_at", "Begun"),
    ("updated_at", "Updated"),
    ("finished_at", "Finished"),
]


def list_runs(*, service: OfServices = None, limit: Limit = DEFAULT_ROWS, as_json: AsJson = False) -> None:
    """List requeue runs of all services, the newest first."""
    with connected() as api:
        across = Across(api, service)
        rows, more = across.pages("/requeue-runs", {}, limit, newest_by="created_at")
    if as_json:
        print_json(across.listed(rows, more=more))
    else:
        print_table(rows, _COLUMNS)
        note_more({"next_cursor": more})
    across.finish()


def show_run(run_id: RunId, *, service: OfServices = None, follow: Follow = False, as_json: AsJson = False) -> None:
    """Show how far a requeue run is."""
    with connected() as api:
        owner, run = _find(Across(api, service), run_id)
        if follow:
            run = followed(api, {owner: run})[owner]
    _print_run(owner, run, as_json=as_json)
    if follow:
        end_by({owner: run})


def stop_run(
    run_id: RunId, *, service: OfServices = None, reason: Reason = DEFAULT_REASON, as_json: AsJson = False
) -> None:
    """Stop a requeue run: what it has not sent yet is dead again, free for another run."""
    with connected() as api:
        owner, _ = _find(Across(api, service), run_id)
        run = api.post(f"{_path(owner, run_id)}/stop", {"reason": reason})
    _print_run(owner, run, as_json=as_json)


def followed(api: Api, runs: Mapping[Service, dict[str, Any]]) -> dict[Service, dict[str, Any]]:
    """Say on standard error how runs go on, and return them as they end.

    Raises:
        CliError: One cannot be asked any more; the runs go on.
    """
    now, told, misses = dict(runs), dict[Service, str](), 0
    while True:
        for service, run in now.items():
            words = _progress(service, run)
            if told.get(service) != words:
                told[service] = words
                tell(words)
        running = [service for service, run in now.items() if run["state"] == "running"]
        if not running:
            return now
        try:
            time.sleep(POLL_S)
            for service in running:
                now[service] = api.get(_path(service, str(now[service]["id"])))
            misses = 0
        except CliError as error:
            misses += 1
            if misses > MAX_MISSES or not is_away(error):
                raise
        except KeyboardInterrupt:
            for service in running:
                run_id = now[service]["id"]
                tell(f"{run_id} goes on by itself: watch it with `rappit dead-letters run {run_id} --follow`.")
            raise


def print_runs(runs: Mapping[Service, dict[str, Any]]) -> None:
    """Print runs, a row each."""
    print_table([{**run, "service": service.value} for service, run in runs.items()], _COLUMNS)


def end_by(runs: Mapping[Service, dict[str, Any]]) -> None:
    """End the command with 1 when a run was stopped."""
    if any(run["state"] == "stopped" for run in runs.values()):
        raise typer.Exit(1)


def _print_run(service: Service, run: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(run)
        return
    print_facts({**run, "service": service.value}, _FACTS)
    if run["state"] == "running":
        print_line("It goes on by itself: --follow watches it, stop-run stops it.")


def _progress(service: Service, run: Mapping[str, Any]) -> str:
    words = f"{service.value}: {run['state']}, stage {run['stage']}, {run['sent']} of {run['total']} sent, "
    words += f"{run['handled']} handled, {run['failed']} failed again"
    return f"{words}: {run['stop_reason']}" if run.get("stop_reason") else f"{words}."


def _find(across: Across, run_id: str) -> Found:
    return across.find(lambda service: _path(service, run_id))


def _path(service: Service, run_id: str) -> str:
    return f"{service.ops}/requeue-runs/{segment(run_id)}"
