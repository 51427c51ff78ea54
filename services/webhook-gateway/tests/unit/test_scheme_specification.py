"""What every signature scheme must do, whatever the provider."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rappit_common.errors import ForbiddenError, UnauthenticatedError
from rappit_gateway.domain.signatures import (
    SCHEMES,
    BadSignatureError,
    ExpiredTimestampError,
    MissingSignatureError,
    require_signed,
    verify,
)
from scheme_cases import CASES, NOW_S

BODY = b'{"id":727,"total":"29.35"}'
each_scheme = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
with_timestamp = pytest.mark.parametrize("case", [c for c in CASES if c.timestamp], ids=lambda case: case.name)


def test_every_scheme_has_a_case():
    assert {case.provider for case in CASES} == set(SCHEMES)


@each_scheme
@pytest.mark.parametrize("body", [BODY, b"", bytes(range(256))])
def test_own_signature_holds_for_any_bytes(case, body):
    delivery = verify(case.channel(), case.sign(case.secret, body, NOW_S), body, NOW_S)
    assert delivery.dedupe_key == verify(case.channel(), case.sign(case.secret, body, NOW_S), body, NOW_S).dedupe_key
    assert len(delivery.dedupe_key) <= 600


@each_scheme
@pytest.mark.parametrize("body", [BODY + b" ", BODY.replace(b"29", b"19"), b""])
def test_altered_body_is_refused(case, body):
    with pytest.raises(BadSignatureError):
        verify(case.channel(), case.sign(case.secret, BODY, NOW_S), body, NOW_S)


@each_scheme
def test_another_secret_is_refused(case):
    with pytest.raises(BadSignatureError):
        verify(case.channel(), case.sign(case.other, BODY, NOW_S), BODY, NOW_S)


@each_scheme
def test_rotated_secret_holds_until_it_expires(case):
    rotated = case.channel(case.other, (case.secret, NOW_S + 60))
    old, new = (case.sign(secret, BODY, NOW_S) for secret in (case.secret, case.other))
    assert verify(rotated, old, BODY, NOW_S + 59)
    assert verify(rotated, new, BODY, NOW_S + 60)
    with pytest.raises(BadSignatureError):
        verify(rotated, old, BODY, NOW_S + 60)


@each_scheme
@pytest.mark.parametrize("absent", [None, b""])
def test_unsigned_is_refused_with_and_without_its_body(case, absent):
    headers = case.sign(case.secret, BODY, NOW_S)
    require_signed(case.channel(), headers)
    if absent is None:
        del headers[case.signature]
    else:
        headers[case.signature] = absent
    with pytest.raises(MissingSignatureError):
        require_signed(case.channel(), headers)
    with pytest.raises(MissingSignatureError):
        verify(case.channel(), headers, BODY, NOW_S)


@with_timestamp
@pytest.mark.parametrize("away_s", [-301, 301])
def test_signed_time_more_than_five_minutes_away_is_expired(case, away_s):
    headers = case.sign(case.secret, BODY, NOW_S)
    with pytest.raises(ExpiredTimestampError):
        verify(case.channel(), headers, BODY, NOW_S + away_s)
    assert verify(case.channel(), headers, BODY, NOW_S + away_s * 0.99)


@with_timestamp
def test_another_time_than_the_signed_one_is_a_bad_signature(case):
    headers = {**case.sign(case.secret, BODY, NOW_S), case.timestamp: b"%d" % (NOW_S + 1)}
    with pytest.raises(BadSignatureError):
        verify(case.channel(), headers, BODY, NOW_S)


@settings(max_examples=150, deadline=None)
@given(case=st.sampled_from(CASES), at=st.integers(0, 5), junk=st.binary(min_size=1, max_size=300))
def test_nothing_in_a_header_is_a_crash(case, at, junk):
    headers = case.sign(case.secret, BODY, NOW_S)
    names = sorted(headers)
    headers[names[at % len(names)]] = junk
    headers[case.signature] = headers[case.signature] if at else junk
    try:
        verify(case.channel(), headers, BODY, NOW_S)
    except (UnauthenticatedError, ForbiddenError):
        assert case.signature in headers
