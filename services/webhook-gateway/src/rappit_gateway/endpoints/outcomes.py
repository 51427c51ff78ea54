"""What became of the webhooks, as a metric."""

from opentelemetry import metrics

ACCEPTED = "accepted"
SPOOLED = "spooled"
PING = "ping"
CLIENT_GONE = "client_gone"


class Outcomes:
    """Counts each request once: as accepted, spooled or a ping, or under the code of its refusal.

    Args:
        meter: Where the counter lives.
    """

    def __init__(self, meter: metrics.Meter | None = None) -> None:
        self._counter = (meter or metrics.get_meter("rappit.gateway")).create_counter(
            "rappit.webhooks", description="Webhooks answered, by what became of them."
        )
        # Codes are the refusals' own, so there are a dozen; made once, since this is the hot path.
        self._attributes: dict[str, dict[str, str]] = {}

    def count(self, outcome: str) -> None:
        """Count one."""
        attributes = self._attributes.get(outcome)
        if attributes is None:
            attributes = self._attributes[outcome] = {"outcome": outcome}
        self._counter.add(1, attributes)
