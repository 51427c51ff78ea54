"""The command ``rappit-webhook-gateway``."""

from rappit_common.service import run_command

from rappit_gateway.api import make_service


def main() -> None:
    """Run the command given on the command line."""
    run_command(make_service())


if __name__ == "__main__":
    main()
