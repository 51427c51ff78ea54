"""``dead-letters``: messages that failed, across the services that have any; a module a verb."""

import typer

from rappit_cli.commands.dead_letters import auditing, exporting, putting_aside, reading, requeueing, runs

app = typer.Typer(
    no_args_is_help=True,
    help="Messages that failed, for operators. All services are asked unless --service says which; one that is away "
    "is named, the others are shown, and the command ends with 1.",
)
app.command("list")(reading.list_dead_letters)
app.command("groups")(reading.group_dead_letters)
app.command("show")(reading.show_dead_letter)
app.command("export")(exporting.export_dead_letters)
app.command("requeue")(requeueing.requeue_dead_letters)
app.command("runs")(runs.list_runs)
app.command("run")(runs.show_run)
app.command("stop-run")(runs.stop_run)
app.command("discard")(putting_aside.discard_dead_letters)
app.command("restore")(putting_aside.restore_dead_letters)
app.command("note")(putting_aside.note_dead_letter)
app.command("audit")(auditing.list_audit)
