"""Settings of the service."""

from rappit_common.settings import StatefulSettings


class OrdersSettings(StatefulSettings):
    """What a process of orders is told by its environment; all of it is what every stateful service is told."""
