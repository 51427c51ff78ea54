"""The command ``rappit-inventory``."""

from rappit_common.service import run_command

from rappit_inventory.composition import SERVICE


def main() -> None:
    """Run the commands given on the command line."""
    run_command(SERVICE)


if __name__ == "__main__":
    main()
