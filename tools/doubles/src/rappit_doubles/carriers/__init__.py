"""FedEx and DHL Parcel DE as doubles: real wire formats over real HTTP, with faults on demand."""

from rappit_doubles.carriers.app import carriers_app
from rappit_doubles.carriers.tokens import DhlAccount, FedexAccount

__all__ = ["DhlAccount", "FedexAccount", "carriers_app"]
