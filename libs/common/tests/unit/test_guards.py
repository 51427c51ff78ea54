"""Bounds and guards that need no server."""

import base64
import json
from types import SimpleNamespace

import asyncpg
import pytest
from pydantic import SecretStr
from rappit_common.clock import new_id, utc_now
from rappit_common.database.engine import Database, is_outage
from rappit_common.messaging.dead_letters.letter import dead_letter_row
from rappit_common.messaging.headers import MAX_HEADERS_BYTES, attempt_of, bounded
from rappit_common.messaging.outbox import NoRelayError, Outbox
from rappit_common.web.auth import InvalidTokenError, Tokens
from rappit_sample.service import NoteWritten


def test_outbox_that_nobody_drains_refuses():
    outbox = Outbox(None)
    outbox.has_relay = False
    with pytest.raises(NoRelayError, match=r"sample\.note-written\.v1"):
        outbox.add(NoteWritten(organization_id=new_id(), text="kept for ever"))


@pytest.mark.parametrize("value", [2**40, -1, 0, True, "2", 1.5, None, [1]])
def test_senseless_attempts_count_as_the_first(value):
    assert attempt_of({"rappit-attempt": value}) == 1
    message = SimpleNamespace(headers={"rappit-attempt": value}, message_id="1", body=b"", type="t", content_type=None)
    assert dead_letter_row("q", message, now=utc_now())["attempts"] == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"stack": "x" * 200_000, "rappit-organization-id": "mine"},
        {"stack": "\N{GRINNING FACE}" * 40_000, "rappit-organization-id": "mine"},
        {"nested": [["x" * 1000] * 10] * 20, "rappit-organization-id": "mine"},
        {**{f"header-{number}": "y" * 100 for number in range(5_000)}, "rappit-organization-id": "mine"},
    ],
)
def test_headers_are_cut_until_they_fit_and_the_small_ones_stay(headers):
    kept = bounded(headers)
    assert len(json.dumps(kept, ensure_ascii=False).encode()) <= MAX_HEADERS_BYTES
    assert kept["rappit-organization-id"] == "mine"


def test_headers_that_fit_are_as_they_were():
    assert bounded({"a": 1, "b": ["c"]}) == {"a": 1, "b": ["c"]}


@pytest.mark.parametrize("address", ["no-such-host.invalid", "127.0.0.1:1", "[::1]:1"])
async def test_unreachable_database_is_an_outage_however_it_shows(address):
    database = Database(SecretStr(f"postgresql://nobody:nothing@{address}/none"), schema="none")
    with pytest.raises(ConnectionError) as told:
        await database.ping()
    await database.close()
    assert is_outage(told.value)


def test_token_with_a_bottomless_header_is_only_invalid():
    header = base64.urlsafe_b64encode(b"[" * 30_000).decode().rstrip("=")
    with pytest.raises(InvalidTokenError):
        Tokens(SecretStr("s" * 32)).verify(f"{header}.e30.c2ln")


def test_value_that_fits_no_column_is_no_outage():
    assert not is_outage(asyncpg.exceptions._base.DataError("value out of range"))
    assert is_outage(asyncpg.InterfaceError("connection is closed"))
