"""Addresses, slugs, passwords and handed-out secrets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rappit_common.clock import new_id
from rappit_identity.domain.accounts import InvalidEmailError, InvalidSlugError, checked_slug, login_key, normal_email
from rappit_identity.domain.passwords import Passwords, WeakPasswordError, check_password
from rappit_identity.domain.secrets import ApiKeySecret, InvalidApiKeyError, digest, new_secret


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("  Olga@Example.COM ", "olga@example.com"),
        ("olga+shop@example.com", "olga+shop@example.com"),
        ("olga@acme.test", "olga@acme.test"),
        ("olga@warehouse.local", "olga@warehouse.local"),
    ],
)
def test_addresses_are_stored_in_one_form(typed, stored):
    assert normal_email(typed) == stored
    assert normal_email(stored) == stored
    assert login_key(typed) == stored


@pytest.mark.parametrize(
    "typed", ["", "olga", "olga@", "@example.com", "olga@example", "a b@example.com", "a@b@c.test"]
)
def test_what_is_no_address_is_refused(typed):
    with pytest.raises(InvalidEmailError) as refused:
        normal_email(typed)
    assert refused.value.fields == {"field": "email"}


@pytest.mark.parametrize("slug", ["abc", "acme-outdoor", "a1-b2-c3", "a" * 63])
def test_good_slugs(slug):
    assert checked_slug(slug) == slug


@pytest.mark.parametrize("slug", ["", "ab", "a" * 64, "Acme", "acme_x", "-acme", "acme-", "a--b", "äcme", "acme\n"])
def test_bad_slugs(slug):
    with pytest.raises(InvalidSlugError):
        checked_slug(slug)


def test_password_policy_says_which_rule():
    check_password("twelve chars", "olga@example.com")
    with pytest.raises(WeakPasswordError, match="at least 12 characters; this one has 11"):
        check_password("eleven char", "olga@example.com")
    with pytest.raises(WeakPasswordError, match="must not be the e-mail address"):
        check_password(" OLGA@example.com ", "olga@example.com")
    with pytest.raises(WeakPasswordError, match="at most 256"):
        check_password("x" * 257, "olga@example.com")


async def test_passwords_are_kept_as_argon2id_and_never_verify_for_nobody():
    passwords = Passwords()
    try:
        stored = await passwords.hash("Zoë's long password")
        assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        assert stored != await passwords.hash("Zoë's long password")
        assert await passwords.verify(stored, "Zoe\u0308's long password")
        assert not await passwords.verify(stored, "Zoe's long password")
        assert not await passwords.verify(None, "Zoë's long password")
        assert not await passwords.verify("not a hash", "Zoë's long password")
        assert not passwords.needs_rehash(stored)
        assert passwords.needs_rehash(stored.replace("t=2", "t=1"))
    finally:
        passwords.close()


def test_api_key_reads_back_and_hides_its_secret():
    key = ApiKeySecret(new_id(), new_secret())
    assert ApiKeySecret.parse(f" {key}\n") == key
    assert key.secret not in repr(key)
    assert key.matches(digest(key.secret))
    assert not key.matches(digest(new_secret()))


@given(st.text(max_size=120))
def test_no_text_breaks_the_reading_of_keys(text):
    try:
        key = ApiKeySecret.parse(text)
    except InvalidApiKeyError:
        return
    assert str(key) == text.strip()
