"""The command ``rappit-shipping``."""

from rappit_common.service import run_command

from rappit_shipping.composition import SERVICE


def main() -> None:
    """Run the service's commands."""
    run_command(SERVICE)


if __name__ == "__main__":
    main()
