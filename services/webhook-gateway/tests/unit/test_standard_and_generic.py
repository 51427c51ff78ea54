"""Peculiarities of the two schemes for channels without one of their own."""

import base64
import hashlib

import pytest
from rappit_common.clock import new_id
from rappit_gateway.domain.channels import KnownChannel, Provider, signing_key
from rappit_gateway.domain.hmac_options import (
    HmacAlgorithm,
    HmacOptions,
    InvalidHmacOptionsError,
    SignatureEncoding,
)
from rappit_gateway.domain.signatures import BadSignatureError, MissingSignatureError, verify
from scheme_cases import CASES, NOW_S, PRIVATE, SECRET, STANDARD, digest

BODY = b'{"type":"order.created"}'
V1, V1A, PLAIN, TIMED = CASES[2:]


def test_shared_secret_and_public_key_hold_side_by_side_while_a_channel_rotates():
    mixed = V1.channel(PRIVATE, STANDARD)
    symmetric, asymmetric = (V1.sign(secret, BODY, NOW_S) for secret in (STANDARD, PRIVATE))
    assert verify(mixed, symmetric, BODY, NOW_S) == verify(mixed, asymmetric, BODY, NOW_S)
    both = symmetric[b"webhook-signature"] + b" " + asymmetric[b"webhook-signature"]
    for one in (V1.channel(STANDARD), V1.channel(PRIVATE), mixed):
        assert verify(one, {**symmetric, b"webhook-signature": both}, BODY, NOW_S)


def test_a_signature_of_one_kind_is_none_of_the_other():
    for case, wrong in ((V1, b"v1a,"), (V1A, b"v1,")):
        headers = case.sign(case.secret, BODY, NOW_S)
        headers[b"webhook-signature"] = wrong + headers[b"webhook-signature"].partition(b",")[2]
        with pytest.raises(BadSignatureError):
            verify(case.channel(), headers, BODY, NOW_S)


@pytest.mark.parametrize(
    "token",
    [b"v1a", b"v1a,", b"v1a,\xff\xfe", b"v1a,=====", b"v1a,AAAA", b"v1a," + base64.b64encode(bytes(64)), b"v1a,a,b"],
)
def test_malformed_asymmetric_token_is_a_bad_signature(token):
    headers = {**V1A.sign(PRIVATE, BODY, NOW_S), b"webhook-signature": token}
    with pytest.raises(BadSignatureError):
        verify(V1A.channel(), headers, BODY, NOW_S)


def test_signatures_to_be_tried_are_bounded():
    good = V1A.sign(PRIVATE, BODY, NOW_S)
    junk = b"v1a," + base64.b64encode(bytes(64)) + b" "
    for others, holds in ((3, True), (4, False)):
        headers = {**good, b"webhook-signature": junk * others + good[b"webhook-signature"]}
        if holds:
            assert verify(V1A.channel(), headers, BODY, NOW_S)
        else:
            with pytest.raises(BadSignatureError):
                verify(V1A.channel(), headers, BODY, NOW_S)


def generic(**options):
    keys = (signing_key(Provider.GENERIC_HMAC, SECRET),)
    return KnownChannel(new_id(), new_id(), Provider.GENERIC_HMAC, None, keys, hmac=HmacOptions(**options))


def base64_of(digested):
    return base64.b64encode(digested).decode()


def base64url_of(digested):
    return base64.urlsafe_b64encode(digested).decode()


WRITTEN = {
    SignatureEncoding.HEX: [lambda d: d.hex(), lambda d: d.hex().upper()],
    SignatureEncoding.BASE64: [base64_of, lambda d: base64_of(d).rstrip("=")],
    SignatureEncoding.BASE64URL: [base64url_of, lambda d: base64url_of(d).rstrip("=")],
}


@pytest.mark.parametrize("prefix", ["", "sha256=", "v1 "])
@pytest.mark.parametrize("encoding", list(SignatureEncoding))
@pytest.mark.parametrize("algorithm", list(HmacAlgorithm))
def test_every_algorithm_encoding_and_prefix(algorithm, encoding, prefix):
    channel = generic(algorithm=algorithm, encoding=encoding, prefix=prefix)
    for write in WRITTEN[encoding]:
        value = prefix + write(digest(SECRET, BODY, algorithm))
        assert verify(channel, {b"x-signature": value.encode()}, BODY, NOW_S)
        with pytest.raises(BadSignatureError):
            verify(channel, {b"x-signature": value[:-3].encode()}, BODY, NOW_S)
        if prefix:
            with pytest.raises(BadSignatureError):
                verify(channel, {b"x-signature": value.removeprefix(prefix).encode()}, BODY, NOW_S)


def test_base64_is_told_apart_by_case():
    value = base64.b64encode(digest(SECRET, BODY)).swapcase()
    with pytest.raises(BadSignatureError):
        verify(generic(encoding=SignatureEncoding.BASE64), {b"x-signature": value}, BODY, NOW_S)


def test_delivery_is_known_by_its_id_where_there_is_one_and_else_by_its_body():
    signed = {b"x-signature": digest(SECRET, BODY).hex().encode()}
    channel = generic(id_header="X-Id", topic_header="X-Topic")
    named = verify(channel, {**signed, b"x-id": b"d-1", b"x-topic": b"order.created"}, BODY, NOW_S)
    assert (named.delivery_id, named.topic, named.dedupe_key) == ("d-1", "order.created", "generic:id:d-1")
    by_body = f"generic:body-{hashlib.sha256(BODY).hexdigest()}"
    assert verify(channel, signed, BODY, NOW_S).dedupe_key == by_body
    assert verify(generic(), {**signed, b"x-id": b"d-1"}, BODY, NOW_S).dedupe_key == by_body
    long = [verify(channel, {**signed, b"x-id": b"x" * 400 + end}, BODY, NOW_S).dedupe_key for end in (b"1", b"2")]
    assert len(set(long)) == 2


def test_configured_timestamp_is_needed():
    headers = TIMED.sign(SECRET, BODY, NOW_S)
    del headers[TIMED.timestamp]
    with pytest.raises(MissingSignatureError, match="x-acme-time"):
        verify(TIMED.channel(), headers, BODY, NOW_S)


@pytest.mark.parametrize(
    ("options", "field", "reason"),
    [
        ({"signature_header": ""}, "signature_header", "name of a header"),
        ({"signature_header": "X Signature"}, "signature_header", "name of a header"),
        ({"signature_header": "X_Signature"}, "signature_header", "name of a header"),
        ({"id_header": "X-Request-Id"}, "id_header", "proxies"),
        ({"signature_header": "X-Sign\r\nature"}, "signature_header", "name of a header"),
        ({"signature_header": "X-Ünterschrift"}, "signature_header", "name of a header"),
        ({"signature_header": "X" * 101}, "signature_header", "at most 100"),
        ({"signature_header": "Content-Length"}, "signature_header", "HTTP itself"),
        ({"signature_header": "authorization"}, "signature_header", "credentials"),
        ({"id_header": "X-Forwarded-For"}, "id_header", "proxies"),
        ({"topic_header": "traceparent"}, "topic_header", "trace"),
        ({"timestamp_header": "Date"}, "timestamp_header", "HTTP itself"),
        ({"id_header": "x-signature"}, "id_header", "header of its own"),
        ({"id_header": "X-One", "timestamp_header": "x-one"}, "timestamp_header", "header of its own"),
        ({"prefix": " sha256="}, "prefix", "blank"),
        ({"prefix": "x" * 33}, "prefix", "at most 32"),
        ({"prefix": "sha256=\n"}, "prefix", "printable"),
    ],
)
def test_options_that_cannot_be_meant_are_refused_with_their_reason(options, field, reason):
    with pytest.raises(InvalidHmacOptionsError, match=reason) as refused:
        HmacOptions(**options)
    assert refused.value.fields == {"field": field}
