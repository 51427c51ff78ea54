"""Channels as doubles: build orders, change them, and send them with the channels' real headers and signatures."""

from rappit_doubles.channels.delivery import Delivery, Retries
from rappit_doubles.channels.shopify import ShopifyOrder, ShopifyShop
from rappit_doubles.channels.signing import body_signature, hex_signature, standard_signature
from rappit_doubles.channels.standard import GenericHmacSender, StandardOrder, StandardWebhooksSender
from rappit_doubles.channels.values import Address, Customer, NewLine
from rappit_doubles.channels.woo import WebhookDisabledError, WooOrder, WooStore

__all__ = [
    "Address",
    "Customer",
    "Delivery",
    "GenericHmacSender",
    "NewLine",
    "Retries",
    "ShopifyOrder",
    "ShopifyShop",
    "StandardOrder",
    "StandardWebhooksSender",
    "WebhookDisabledError",
    "WooOrder",
    "WooStore",
    "body_signature",
    "hex_signature",
    "standard_signature",
]
