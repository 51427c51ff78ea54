"""The command ``rappit-orders``."""

from rappit_common.service import run_command

from rappit_orders.api import SERVICE


def main() -> None:
    """Run the service's commands."""
    run_command(SERVICE)


if __name__ == "__main__":
    main()
