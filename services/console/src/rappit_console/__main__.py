"""The command ``rappit-console``."""

import argparse
import os

from rappit_common.logs import configure_logs
from rappit_common.service import configure_telemetry, run_server
from rappit_common.settings import load_settings

from rappit_console.api import create_console
from rappit_console.settings import ConsoleSettings

NAME = "console"


def main(argv: list[str] | None = None) -> None:
    """Serve the console until SIGTERM; ``serve`` and ``api`` are the same, for it has one role only.

    Raises:
        SystemExit: 78 when a setting is missing or unfit.
    """
    parser = argparse.ArgumentParser(prog="rappit-console", description="The web console of Rappit.")
    parser.add_argument("command", choices=("serve", "api"), help="both serve the pages")
    parser.parse_args(argv)
    configure_logs(NAME, os.environ.get("LOG_LEVEL", "INFO"))
    settings = load_settings(ConsoleSettings)
    configure_logs(NAME, settings.log_level)
    configure_telemetry(NAME, settings)
    run_server(create_console(settings), settings)


if __name__ == "__main__":
    main()
