"""``python -m rappit_faults.process <service> <commands>``: a service's own ``main``, with kill points in it.

The services know nothing of this: what they run is their own code, patched from outside before it starts.
"""

import importlib
import os
import sys
from pathlib import Path

from rappit_faults import killpoints, seeded_bugs

FOLDER = "RAPPIT_FAULTS_FOLDER"
MODULES = {
    "identity": "rappit_identity.__main__",
    "webhook-gateway": "rappit_gateway.__main__",
    "orders": "rappit_orders.__main__",
    "inventory": "rappit_inventory.__main__",
    "shipping": "rappit_shipping.__main__",
}
CLAIM_S = 5
"""How long a shipment that a dead process was looking at is left alone; five minutes are longer than any drain."""


def main() -> None:
    """Patch, then be the service."""
    service, *commands = sys.argv[1:]
    folder = Path(os.environ[FOLDER])
    # The bugs first, so that a publish that a bug holds back has not passed a kill point either.
    seeded_bugs.install(folder, service)
    killpoints.install(killpoints.KillPoints(folder, service))
    if service == "shipping":
        importlib.import_module("rappit_shipping.flows.reconcile").CLAIM_S = CLAIM_S
    sys.argv = [f"rappit-{service}", *commands]
    importlib.import_module(MODULES[service]).main()


if __name__ == "__main__":
    main()
