"""Which secrets and sources a channel may have."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from rappit_gateway.domain.channels import (
    InvalidSourceError,
    MalformedSecretError,
    Provider,
    SecretRequiredError,
    SigningKey,
    WeakSecretError,
    generate_secret,
    shop_domain,
    signing_key,
    site_address,
)


@pytest.mark.parametrize("provider", [Provider.WOOCOMMERCE, Provider.STANDARD_WEBHOOKS, Provider.GENERIC_HMAC])
def test_generated_secrets_are_accepted_and_differ(provider):
    one, other = generate_secret(provider), generate_secret(provider)
    assert one != other
    assert len(signing_key(provider, one).key) >= 32


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
    assert signing_key(Provider.STANDARD_WEBHOOKS, f"whsec_{encoded}") == SigningKey(key)
    assert signing_key(Provider.STANDARD_WEBHOOKS, f"whsec_{encoded.rstrip('=')}").key == key
    for malformed in (encoded, f"whsec_{encoded}!", f"whsec_{base64.b64encode(bytes(range(65))).decode()}"):
        with pytest.raises(MalformedSecretError):
            signing_key(Provider.STANDARD_WEBHOOKS, malformed)
    for weak in ("whsec_", "whsec_" + base64.b64encode(bytes(range(23))).decode(), "whsec_" + "A" * 40):
        with pytest.raises(WeakSecretError):
            signing_key(Provider.STANDARD_WEBHOOKS, weak)


def test_standard_public_key_needs_its_length_and_a_point_that_only_one_can_sign_for():
    public = Ed25519PrivateKey.from_private_bytes(bytes(range(32))).public_key().public_bytes_raw()
    encoded = base64.b64encode(public).decode()
    assert signing_key(Provider.STANDARD_WEBHOOKS, f"whpk_{encoded}", 7.0) == SigningKey(public, 7.0, is_public=True)
    for malformed in ("whpk_", f"whpk_{encoded}!", f"whpk_{base64.b64encode(public[:31]).decode()}"):
        with pytest.raises(MalformedSecretError):
            signing_key(Provider.STANDARD_WEBHOOKS, malformed)


SMALL_ORDER = (
    "00" * 32,
    "01" + "00" * 31,
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ec" + "ff" * 30 + "7f",
    "ed" + "ff" * 30 + "7f",
    "ee" + "ff" * 30 + "7f",
)


@pytest.mark.parametrize("sign", [0, 0x80])
@pytest.mark.parametrize("point", SMALL_ORDER)
def test_public_key_that_anybody_could_sign_for_is_refused(point, sign):
    key = bytearray(bytes.fromhex(point))
    key[31] |= sign
    with pytest.raises(WeakSecretError):
        signing_key(Provider.STANDARD_WEBHOOKS, "whpk_" + base64.b64encode(key).decode())


def test_why_such_a_key_is_refused():
    # The base point as R and 1 as S: a signature of every message under the neutral point.
    everything = bytes.fromhex("58" + "66" * 31 + "01" + "00" * 31)
    Ed25519PublicKey.from_public_bytes(bytes.fromhex(SMALL_ORDER[1])).verify(everything, b"any message at all")


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
