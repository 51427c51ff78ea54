"""Channels: an adapter a provider, behind one small interface.

A new channel is one module with a class that has the one method of
:class:`~rappit_orders.domain.channels.interface.ChannelAdapter`, a line in ``ADAPTERS``, and a case for the tests'
shared specification (``tests/support/channel_cases.py``).
"""

from rappit_common.errors import InvalidError

from rappit_orders.domain.channels.interface import ChannelAdapter, Delivery
from rappit_orders.domain.channels.shopify import Shopify
from rappit_orders.domain.channels.standard import StandardWebhooks
from rappit_orders.domain.channels.woocommerce import WooCommerce
from rappit_orders.domain.commands import Command

ADAPTERS: dict[str, ChannelAdapter] = {
    "shopify": Shopify(),
    "woocommerce": WooCommerce(),
    "standard_webhooks": StandardWebhooks(),
    # Signed in another way, and the same schema within.
    "generic_hmac": StandardWebhooks(),
}


class UnknownProviderError(InvalidError):
    """No adapter reads this provider's deliveries."""

    code = "unknown_provider"


def read_delivery(provider: str, delivery: Delivery) -> Command:
    """Return the one command that a provider's delivery stands for.

    Raises:
        UnknownProviderError: No adapter reads this provider.
        InvalidDeliveryError: The body is not what the provider's topic says.
    """
    adapter = ADAPTERS.get(provider)
    if adapter is None:
        raise UnknownProviderError(f"No adapter reads deliveries of {provider!r}.", provider=provider)
    return adapter.read(delivery)
