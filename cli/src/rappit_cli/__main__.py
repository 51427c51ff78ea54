"""The command ``rappit``."""

import sys

import typer

from rappit_cli.commands import channels, dead_letters, deliveries, inventory, orders, session, shipments
from rappit_cli.errors import CliError
from rappit_cli.output import tell

app = typer.Typer(
    name="rappit",
    help="Rappit from the command line: orders, stock, shipments, channels, deliveries and dead letters.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(session.login)
app.command()(session.logout)
app.command()(session.whoami)
app.add_typer(orders.app, name="orders")
app.add_typer(inventory.app, name="inventory")
app.add_typer(shipments.app, name="shipments")
app.add_typer(channels.app, name="channels")
app.add_typer(deliveries.app, name="deliveries")
app.add_typer(dead_letters.app, name="dead-letters")


def main(arguments: list[str] | None = None) -> None:
    """Run one command.

    Args:
        arguments: Without the program's name; the process's own when not given.

    Raises:
        SystemExit: With 0, or 1 when something was refused (its reason is on standard error), or 2 when it was misused.
    """
    try:
        app(args=arguments, prog_name="rappit")
    except CliError as error:
        # The API's words may quote what came from outside.
        tell(str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
