"""The `rappit-doubles` command."""

import argparse

from rappit_doubles.carriers import carriers_app
from rappit_doubles.channels.app import channels_app
from rappit_doubles.serving import serve


def main() -> None:
    """Serve the carriers or the channels until told to stop."""
    parser = argparse.ArgumentParser(prog="rappit-doubles", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, port, summary in (
        ("carriers", 8701, "FedEx under /fedex, DHL Parcel DE under /dhl, faults under /_control"),
        ("channels", 8702, "Shopify, WooCommerce and Standard Webhooks shops, played by hand"),
    ):
        command = commands.add_parser(name, help=summary, description=summary)
        command.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
        command.add_argument("--port", type=int, default=port, help="port to listen on (default %(default)s)")
    arguments = parser.parse_args()
    app = carriers_app() if arguments.command == "carriers" else channels_app()
    try:
        serve(app, host=arguments.host, port=arguments.port, name=arguments.command)
    except OSError as refused:
        parser.exit(1, f"Cannot listen on {arguments.host}:{arguments.port}: {refused}. Choose another --port.\n")


if __name__ == "__main__":
    main()
