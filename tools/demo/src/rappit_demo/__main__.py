"""Run the main job against a running stack.

With ``--stack NAME`` the stack of ``make up`` is asked for its addresses; with ``--url`` any other one is used, for
example that of ``docker compose up``.
"""

import argparse
import asyncio
import os
import sys
from pathlib import Path

import httpx
from rappit_devstack import state
from rappit_devstack.errors import DevstackError
from rappit_devstack.stack import Stack
from rich.console import Console

from rappit_demo.client import ApiError
from rappit_demo.main_job import Place, tell

MIN_WIDTH = 120


def _place(arguments: argparse.Namespace) -> Place:
    if arguments.url:
        return Place(
            arguments.url.rstrip("/"),
            arguments.carriers_url.rstrip("/"),
            arguments.operator_email,
            os.environ["OPERATOR_PASSWORD"],
            Path(arguments.labels or "labels").absolute(),
        )
    stack = Stack(state.home() / arguments.stack)
    return Place(
        stack.ingress_url,
        stack.carrier_double_url,
        stack.operator_email,
        stack.operator_password,
        Path(arguments.labels).absolute() if arguments.labels else stack.folder / "labels",
    )


def main() -> None:
    """Be the command ``rappit-demo``; exit with 1 when anything differs from what is expected."""
    parser = argparse.ArgumentParser(prog="rappit-demo", description=__doc__)
    parser.add_argument("--stack", default="demo", help="a stack of make up (default: demo)")
    parser.add_argument(
        "--url", help="the ingress of another stack; OPERATOR_PASSWORD is then read from the environment"
    )
    parser.add_argument("--carriers-url", default="http://127.0.0.1:9000", help="its carrier double")
    parser.add_argument("--operator-email", default="operator@rappit.example", help="its operator")
    parser.add_argument("--labels", help="folder for the label files")
    arguments = parser.parse_args()
    if arguments.url and "OPERATOR_PASSWORD" not in os.environ:
        parser.error("OPERATOR_PASSWORD is not set: with --url it must hold the operator's password")
    console = Console(width=None if sys.stdout.isatty() else MIN_WIDTH)
    try:
        differences = asyncio.run(tell(_place(arguments), console))
    except (ApiError, DevstackError, TimeoutError, httpx.HTTPError) as error:
        console.print(f"[bold red]The story stopped:[/] {type(error).__name__}: {error}", soft_wrap=True)
        console.print("Look into the logs with `make logs`, and at the processes with `make ps`.")
        sys.exit(1)
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
