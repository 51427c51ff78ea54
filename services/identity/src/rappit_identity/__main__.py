"""The command ``rappit-identity``."""

from rappit_common.service import run_command

from rappit_identity.api import SERVICE
from rappit_identity.operator_command import create_operator


def main() -> None:
    """Run the command."""
    run_command(SERVICE, extra={"create-operator": create_operator})


if __name__ == "__main__":
    main()
