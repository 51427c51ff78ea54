"""Which secrets and sources a channel may have."""

import base64

import pytest
from rappit_gateway.domain.channels import (
    InvalidSourceError,
    MalformedSecretError,
    Provider,
    SecretRequiredError,
    WeakSecretError,
    generate_secret,
    shop_domain,
    signing_key,
    site_address,
)


@pytest.mark.parametrize("provider", [Provider.WOOCOMMERCE, Provider.STANDARD_WEBHOOKS])
def test_generated_secrets_are_accepted_and_differ(provider):
    one, other = generate_secret(provider), generate_secret(provider)
    assert one != other
    assert len(signing_key(provider, one)) >= 32


def test_shopify_chooses_its_own_secret():
    with pytest.raises(SecretRequiredError, match="client secret"):
        generate_secret(Provider.SHOPIFY)


@pytest.mark.parametrize("secret", ["short", "a" * 40, "abababababababababababab"])
def test_guessable_secret_is_refused(secret):
    with pytest.raises(WeakSecretError):
        signing_key(Provider.WOOCOMMERCE, secret)


@pytest.mark.parametrize(
    "secret", [" 0123456789abcdef", "0123456789abcdef\n", "0123 56789abcdefgh", "ü" * 20, "ab" * 200]
)
def test_secret_copied_with_something_else_is_refused(secret):
    with pytest.raises(MalformedSecretError):
        signing_key(Provider.SHOPIFY, secret)


def test_standard_secret_needs_its_prefix_base64_and_length():
    key = bytes(range(32))
    encoded = base64.b64encode(key).decode()
    assert signing_key(Provider.STANDARD_WEBHOOKS, f"whsec_{encoded}") == key
    assert signing_key(Provider.STANDARD_WEBHOOKS, f"whsec_{encoded.rstrip('=')}") == key
    for malformed in (encoded, f"whsec_{encoded}!", f"whsec_{base64.b64encode(bytes(range(65))).decode()}"):
        with pytest.raises(MalformedSecretError):
            signing_key(Provider.STANDARD_WEBHOOKS, malformed)
    for weak in ("whsec_", "whsec_" + base64.b64encode(bytes(range(23))).decode(), "whsec_" + "A" * 40):
        with pytest.raises(WeakSecretError):
            signing_key(Provider.STANDARD_WEBHOOKS, weak)


@pytest.mark.parametrize(
    "given", ["My-Shop.myshopify.com", "https://my-shop.myshopify.com/", " my-shop.myshopify.com "]
)
def test_shop_domain_is_kept_as_shopify_sends_it(given):
    assert shop_domain(given) == "my-shop.myshopify.com"


@pytest.mark.parametrize("given", [None, "", "shop.example.com", "my shop.myshopify.com", "x.myshopify.com.evil.com"])
def test_other_domains_are_refused(given):
    with pytest.raises(InvalidSourceError):
        shop_domain(given)


def test_site_address_is_optional_and_comparable():
    assert site_address(None) is None
    assert site_address("https://Shop.example.com/") == site_address("https://shop.example.com")
    for wrong in ("shop.example.com", "ftp://shop.example.com", "https://", "http://[::1"):
        with pytest.raises(InvalidSourceError):
            site_address(wrong)
