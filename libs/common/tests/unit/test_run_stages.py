"""A run goes on only when all that it sent was handled, and stops at the first failure."""

from datetime import UTC, datetime, timedelta

import pytest
from rappit_common.messaging.dead_letters.run_stages import MAX_IN_FLIGHT, Progress, next_move

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def moved(**given):
    known = {"state": "running", "stage": "canary_1", "rate_per_s": 50, "total": 100, "sent": 0, "in_flight": 0}
    progress = Progress(**{**known, "oldest_sent_at": None, "failure": None, **given})
    return next_move(progress, now=NOW, answer_timeout_s=90)


def test_first_one_then_ten_then_the_rest():
    assert (moved().send, moved().stage) == (1, "canary_1")
    second = moved(sent=1)
    assert (second.send, second.stage) == (10, "canary_10")
    third = moved(stage="canary_10", sent=11)
    assert (third.send, third.stage) == (10, "all")


@pytest.mark.parametrize(("stage", "sent"), [("canary_1", 1), ("canary_10", 11), ("all", 100)])
def test_a_stage_waits_for_all_that_it_sent(stage, sent):
    waits = moved(stage=stage, sent=sent, in_flight=1, oldest_sent_at=NOW)
    assert (waits.send, waits.stage, waits.done, waits.finished) == (0, stage, False, False)
    assert waits.next_at > NOW


def test_ten_are_reached_in_steps_when_the_rate_is_low():
    slow = moved(stage="canary_10", sent=1, rate_per_s=1)
    assert slow.send == 1
    assert slow.next_at == NOW + timedelta(seconds=1)


@pytest.mark.parametrize("rate_per_s", [1, 2, 3, 7, 50, 333, 1000])
def test_never_more_than_the_rate(rate_per_s):
    move = moved(stage="all", total=100_000, rate_per_s=rate_per_s)
    assert 0 < move.send <= rate_per_s * (move.next_at - NOW).total_seconds() + 1e-6


def test_a_consumer_that_fell_behind_is_not_buried():
    assert moved(stage="all", total=10**5, sent=5_000, in_flight=MAX_IN_FLIGHT, oldest_sent_at=NOW).send == 0
    assert moved(stage="all", total=10**5, sent=5_000, in_flight=MAX_IN_FLIGHT - 3, oldest_sent_at=NOW).send == 3


@pytest.mark.parametrize("total", [1, 5, 11])
def test_a_small_run_is_done_when_its_last_is_handled(total):
    move = moved(total=total, sent=total)
    assert (move.done, move.finished, move.send) == (True, True, 0)


@pytest.mark.parametrize("stage", ["canary_1", "canary_10", "all"])
def test_a_failure_stops_it_in_any_stage(stage):
    move = moved(stage=stage, sent=1, failure="Letter 1 failed again")
    assert (move.stop_reason, move.send, move.done, move.finished) == ("Letter 1 failed again", 0, False, False)


def test_no_answer_stops_it():
    late = NOW - timedelta(seconds=91)
    move = moved(sent=1, in_flight=1, oldest_sent_at=late)
    assert move.stop_reason is not None
    assert "90 s" in move.stop_reason
    assert moved(sent=1, in_flight=1, oldest_sent_at=NOW - timedelta(seconds=89)).stop_reason is None


def test_a_stopped_run_is_followed_until_nothing_is_under_way():
    assert not moved(state="stopped", sent=9, in_flight=2, oldest_sent_at=NOW).finished
    assert moved(state="stopped", sent=9).finished
    assert moved(state="stopped", sent=9, in_flight=2, oldest_sent_at=NOW - timedelta(seconds=91)).finished
    assert moved(state="stopped", sent=9).send == 0
