"""Whatever is heard of a delivery, repeated and in any order, the log ends with the truth."""

import itertools
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from rappit_common.clock import new_id
from rappit_gateway.domain.deliveries import (
    MAX_DEDUPE_KEY_CHARACTERS,
    DeliveryOutcome,
    DeliveryStatus,
    first_id_at,
    replay_key,
    true_outcomes,
)

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
MESSAGE, CHANNEL = new_id(), new_id()


def outcome(status, *, after_s=0, message_id=MESSAGE, cause=None):
    return DeliveryOutcome(
        message_id=message_id,
        channel_id=CHANNEL,
        provider="shopify",
        topic="orders/create",
        delivery_id="d-1",
        received_at=NOW,
        status=DeliveryStatus(status),
        cause=cause,
        detail=None,
        external_order_id=None,
        order_id=None,
        settled_at=NOW + timedelta(seconds=after_s),
        trace_id=None,
    )


def test_requeued_dead_letter_ends_as_what_became_of_it_in_any_order():
    heard = [
        outcome("dead_lettered"),
        outcome("dead_lettered", after_s=5, cause="again"),
        outcome("applied", after_s=2),
    ]
    for order in itertools.permutations([*heard, heard[0]]):
        assert [found.status for found in true_outcomes(order)] == [DeliveryStatus.APPLIED]


def test_of_two_deaths_the_later_is_told():
    heard = [outcome("dead_lettered", cause="first"), outcome("dead_lettered", after_s=5, cause="second")]
    for order in itertools.permutations(heard):
        assert [found.cause for found in true_outcomes(order)] == ["second"]


def test_outcomes_stand_in_the_order_of_their_ids():
    ids = [new_id() for _ in range(5)]
    found = true_outcomes(outcome("applied", message_id=one) for one in reversed(ids))
    assert [one.message_id for one in found] == sorted(ids)


@pytest.mark.parametrize("key", ["shopify:1", "k" * 600])
def test_replays_key_is_new_and_fits_the_contract_however_often(key):
    first, second = new_id(), new_id()
    once = replay_key(key, first)
    twice = replay_key(once, second)
    assert len({key, once, twice}) == 3
    assert max(len(once), len(twice)) <= MAX_DEDUPE_KEY_CHARACTERS
    assert twice.endswith(f"#replay-{second}")
    assert str(first) not in twice


def test_ids_stand_in_the_order_of_their_times():
    before = datetime.now(UTC)
    made = new_id()
    after = datetime.now(UTC) + timedelta(milliseconds=1)
    assert first_id_at(before) <= made < first_id_at(after)
    assert first_id_at(datetime(1960, 1, 1, tzinfo=UTC)) == UUID(int=0)
