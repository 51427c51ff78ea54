"""``login``, ``logout``, ``whoami``."""

import os
import sys
from typing import Annotated

import typer

from rappit_cli.connection import AsJson, connected
from rappit_cli.errors import CliError
from rappit_cli.output import print_facts, print_json, print_line


def login(
    url: Annotated[
        str, typer.Option(envvar="RAPPIT_URL", help="Address of Rappit, for example https://rappit.example.")
    ],
    email: Annotated[str, typer.Option(help="Your e-mail address.")],
) -> None:
    """Sign in. The password is asked for, or taken from RAPPIT_PASSWORD; the session is kept, the password is not."""
    password = os.environ.get("RAPPIT_PASSWORD", "")
    if not password:
        if not sys.stdin.isatty():
            raise CliError("There is no terminal to ask for the password: set RAPPIT_PASSWORD.")
        password = str(typer.prompt("Password", hide_input=True))
    with connected() as api:
        session = api.login(url, email, password)
    print_line(f"Signed in to {session.url} as {session.email}.")


def logout() -> None:
    """Sign out, here and at Rappit."""
    with connected() as api:
        was_signed_in = api.logout()
    print_line("Signed out." if was_signed_in else "Nobody was signed in.")


def whoami(*, as_json: AsJson = False) -> None:
    """Show who is signed in, as Rappit sees it now."""
    with connected() as api:
        me = api.get("/auth/me")
    if as_json:
        print_json(me)
        return
    print_facts(
        me,
        [
            ("name", "Name"),
            ("email", "E-mail"),
            ("kind", "Kind"),
            ("role", "Role"),
            ("organization.name", "Organization"),
            ("organization_id", "Organization id"),
            ("id", "Id"),
        ],
    )
