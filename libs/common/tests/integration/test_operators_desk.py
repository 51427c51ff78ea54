"""What operators do with dead letters: find them, group them, mend them, send them back with care, put them aside."""

import asyncio
import csv
import io
import json
from datetime import timedelta

import pytest
from rappit_common.clock import new_id, utc_now
from rappit_common.messaging.dead_letters import acts, runner, runs, search
from rappit_common.messaging.dead_letters.filters import LetterFilter, Selection
from rappit_common.messaging.dead_letters.retention import purge_settled
from rappit_common.messaging.dead_letters.runner import RequeueRunner
from rappit_common.messaging.dead_letters.search import groups_of_letters, page_of_letters
from rappit_common.messaging.events import HEADER_ORGANIZATION
from rappit_common.pagination import encode_cursor
from rappit_common.testing.waiting import eventually
from rappit_common.web.auth import Role
from rappit_sample.service import ECHO, NoteWritten, RefusedNoteError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

pytestmark = pytest.mark.server

OPS = "/sample/ops"
MANY = 14


class DiedError(Exception):
    pass


async def step_and_die(units):
    """Move a run on in a transaction that is never committed."""
    async with units.bypass_tenancy("a runner that dies before its commit") as unit:
        await RequeueRunner(units, answer_timeout_s=60).step(unit, now=utc_now())
        raise DiedError


class Desk:
    """An operator at the sample service, and one organization whose letters they look at."""

    def __init__(self, sample):
        self.sample = sample
        self.organization_id = new_id()

    async def call(self, method, path, *, role=Role.OPERATOR, expected=200, **how):
        answer = await self.sample.http.request(method, OPS + path, headers=self.sample.headers(None, role), **how)
        assert answer.status_code == expected, answer.text
        return answer

    async def get(self, path, **params):
        return (await self.call("GET", path, params=params)).json()

    async def post(self, path, body=None, *, expected=200):
        return (await self.call("POST", path, json=body, expected=expected)).json()

    async def mine(self, **params):
        return (await self.get("/dead-letters", organization_id=str(self.organization_id), limit=200, **params))[
            "items"
        ]

    async def publish(self, body):
        await self.sample.runtime.publisher.publish(
            body,
            exchange="",
            routing_key=ECHO.queue,
            event=NoteWritten.event_name,
            message_id=str(new_id()),
            content_type="application/json",
            headers={HEADER_ORGANIZATION: str(self.organization_id)},
            created_at=utc_now(),
        )

    async def publish_note(self, words):
        await self.publish(json.dumps({"organization_id": str(self.organization_id), "text": words}).encode())

    async def until_dead(self, number):
        async def there():
            found = await self.mine(status="dead")
            return found if len(found) == number else None

        return await eventually(there, within_s=20, what=f"{number} dead letters")

    async def refused(self, number):
        """Let that many notes be refused by their handler. Returns their letters."""
        self.sample.scripted.failures[:] = [RefusedNoteError(f"Note {n} is refused.") for n in range(number)]
        for n in range(number):
            await self.publish_note(f"note {n}")
        return await self.until_dead(number)

    async def run_ended(self, run_id):
        async def ended():
            run = await self.get(f"/requeue-runs/{run_id}")
            return run if run["finished_at"] else None

        return await eventually(ended, within_s=30, what="the run's end")

    async def audited(self, **params):
        return (await self.get("/audit", limit=200, **params))["items"]


@pytest.fixture
def desk(sample):
    return Desk(sample)


async def test_a_filter_narrows_and_excludes(desk):
    await desk.publish(b"{not json")
    await desk.publish(json.dumps({"organization_id": str(desk.organization_id), "text": 7}).encode())
    both = await desk.until_dead(2)
    types = {letter["error_type"] for letter in both}
    one = both[0]
    assert [x["id"] for x in await desk.mine(group=one["group_key"])] == [one["id"]]
    assert [x["id"] for x in await desk.mine(not_group=both[1]["group_key"])] == [one["id"]]
    assert await desk.mine(queue="sample.nothing") == []
    assert len(await desk.mine(error_type=sorted(types), queue=[ECHO.queue, "sample.other"])) == 2
    assert await desk.mine(not_event=NoteWritten.event_name) == []
    assert await desk.mine(failed_before=both[-1]["first_failed_at"]) == []
    assert len(await desk.mine(failed_since=both[-1]["last_failed_at"])) == 2


@pytest.mark.parametrize(
    ("path", "wanted", "code"),
    [
        ("/dead-letters", {"failed_since": "0001-01-01T00:00:00+23:59"}, "value_out_of_range"),
        ("/dead-letters", {"cursor": encode_cursor("9999-12-31T23:59:59-23:59", str(new_id()))}, "value_out_of_range"),
        ("/audit", {"cursor": encode_cursor("9" * 40)}, "value_out_of_range"),
        # Refused, and not broken off after a status that said it went well.
        ("/dead-letters/export", {"failed_before": "9999-12-31T23:59:59-23:59"}, "value_out_of_range"),
        ("/dead-letters/export", {"text": "\x00"}, "unstorable_text"),
    ],
)
async def test_what_the_database_cannot_hold_is_the_askers_mistake(desk, path, wanted, code):
    refused = await desk.call("GET", path, params=wanted, expected=422)
    assert refused.json()["code"] == code


async def test_a_search_that_takes_too_long_is_given_up_in_words(desk, monkeypatch):
    monkeypatch.setattr(search, "_PLAN_ANEW", text("SET LOCAL statement_timeout = 50"))
    async with desk.sample.runtime.database.engine.begin() as connection:
        await connection.execute(text("LOCK TABLE dead_letters IN ACCESS EXCLUSIVE MODE"))
        for path in ("/dead-letters", "/dead-letters/groups", "/dead-letters/export"):
            given_up = await desk.call("GET", path, expected=503)
            assert given_up.json()["code"] == "took_too_long"


async def test_words_are_searched_with_and_or_and_not(desk):
    for words in ("red scarf large", "red hat", "blue hat"):
        await desk.publish(json.dumps({"organization_id": str(desk.organization_id), "words": words}).encode())
    await desk.until_dead(3)

    async def found(query):
        letters = await desk.mine(text=query)
        return {(await desk.get(f"/dead-letters/{letter['id']}"))["body"].split('"')[-2] for letter in letters}

    assert await found("red hat") == {"red hat"}
    assert await found("red -scarf") == {"red hat"}
    assert await found("scarf or blue") == {"red scarf large", "blue hat"}
    assert await found('"scarf large"') == {"red scarf large"}
    assert await found("green") == set()


async def test_each_search_is_planned_for_its_own_words(desk):
    async with desk.sample.runtime.units.bypass_tenancy("searches again and again") as unit:
        for n in range(12):
            await page_of_letters(unit.session, LetterFilter(text=f"word{n}"), limit=1, before=None)
            await groups_of_letters(unit.session, LetterFilter(text=f"word{n}"))
        prepared = text("SELECT generic_plans FROM pg_prepared_statements WHERE statement LIKE :searches")
        plans = await unit.session.execute(prepared, {"searches": "%websearch_to_tsquery%"})
        assert set(plans.scalars()) == {0}


async def test_letters_that_failed_alike_are_one_group(desk):
    letters = await desk.refused(3)
    groups = (await desk.get("/dead-letters/groups", organization_id=str(desk.organization_id)))["items"]
    [group] = groups
    assert (group["count"], group["queue"], group["error_type"]) == (3, ECHO.queue, "refused_note")
    assert group["message_shape"] == "Note <number> is refused."
    assert {letter["group_key"] for letter in letters} == {group["group_key"]}
    assert group["sample_id"] == letters[0]["id"]
    assert group["first_failed_at"] <= group["last_failed_at"]


async def test_a_letter_is_shown_whole(desk):
    [letter] = await desk.refused(1)
    shown = await desk.get(f"/dead-letters/{letter['id']}")
    assert json.loads(shown["body_pretty"]) == json.loads(shown["body"])
    assert "RefusedNoteError" in shown["error_stack"]
    assert shown["schema"]["properties"].keys() >= {"organization_id", "text"}
    assert (shown["notes"], shown["handled_at"], shown["status"]) == ([], None, "dead")
    assert set(shown["links"]) == {"order", "webhook", "trace_id"}


async def test_an_edit_is_checked_by_the_consumers_reader_and_told_as_a_diff(desk):
    [letter] = await desk.refused(1)
    path = f"/dead-letters/{letter['id']}/requeue"
    wrong = json.dumps({"organization_id": str(desk.organization_id), "text": 7})
    problem = await desk.post(path, {"body": wrong, "reason": "try"}, expected=422)
    assert problem["code"] == "edited_body_invalid"
    assert [error["field"] for error in problem["errors"]] == ["text"]

    right = json.dumps({"organization_id": str(desk.organization_id), "text": "mended"})
    preview = await desk.post(path, {"body": right, "dry_run": True})
    assert preview["would_send"]["routing_key"] == ECHO.queue
    assert any(line.startswith("+") and "mended" in line for line in preview["diff"])
    assert (await desk.get(f"/dead-letters/{letter['id']}"))["status"] == "dead"

    sent = await desk.post(path, {"body": right, "reason": "it was misspelt"}, expected=202)
    assert sent["diff"] == preview["diff"]

    async def handled():
        return (await desk.get(f"/dead-letters/{letter['id']}"))["handled_at"]

    await eventually(handled, what="the mended note to be handled")
    [entry] = await desk.audited(letter_id=letter["id"])
    assert (entry["action"], entry["reason"], entry["actor"]) == (
        "dead_letter.requeue",
        "it was misspelt",
        "tester@example.com",
    )
    assert entry["detail"]["failed_sha256"] != entry["detail"]["edited_sha256"]


async def test_discarding_and_restoring_are_repeatable_and_audited(desk):
    [letter] = await desk.refused(1)
    path = f"/dead-letters/{letter['id']}"
    for _ in range(2):
        shown = await desk.post(f"{path}/discard", {"reason": "a test order"})
    assert (shown["status"], shown["discard_reason"], shown["discarded_by"]) == (
        "discarded",
        "a test order",
        "tester@example.com",
    )
    refused = await desk.post(f"{path}/requeue", {"reason": "no"}, expected=409)
    assert refused["code"] == "dead_letter_not_dead"
    for _ in range(2):
        shown = await desk.post(f"{path}/restore")
    assert (shown["status"], shown["discard_reason"]) == ("dead", None)
    assert [x["action"] for x in await desk.audited(letter_id=letter["id"])] == [
        "dead_letter.restore",
        "dead_letter.discard",
    ]


async def test_a_filter_discards_and_restores_many_and_a_dry_run_none(desk):
    await desk.refused(3)
    chosen = {"filter": {"organization_id": [str(desk.organization_id)]}, "reason": "all of it"}
    assert await desk.post("/dead-letters/discard", {**chosen, "dry_run": True}) == {"matched": 3, "changed": 3}
    assert len(await desk.mine(status="dead")) == 3
    assert await desk.post("/dead-letters/discard", chosen) == {"matched": 3, "changed": 3}
    assert await desk.post("/dead-letters/discard", chosen) == {"matched": 3, "changed": 0}
    assert await desk.post("/dead-letters/restore", chosen) == {"matched": 3, "changed": 3}
    everything = await desk.post("/dead-letters/discard", {"filter": {}, "reason": "all"}, expected=422)
    assert "empty filter" in json.dumps(everything)


async def test_an_act_on_too_many_is_refused_whole_and_a_run_may_have_more(desk, monkeypatch):
    monkeypatch.setattr(acts, "MAX_LETTERS_CHANGED", 2)
    await desk.refused(3)
    chosen = {"filter": {"organization_id": [str(desk.organization_id)]}, "reason": "all of it"}
    refused = await desk.post("/dead-letters/discard", chosen, expected=422)
    assert (refused["code"], refused["matched"], refused["max_letters"]) == ("too_many_letters", 3, 2)
    assert len(await desk.mine(status="dead")) == 3
    assert (await desk.post("/requeue-runs", {**chosen, "dry_run": True}))["total"] == 3

    monkeypatch.setattr(runs, "MAX_LETTERS_IN_RUN", 2)
    refused = await desk.post("/requeue-runs", chosen, expected=422)
    assert (refused["code"], refused["max_letters"]) == ("too_many_letters", 2)


@pytest.mark.parametrize("said", ["", " ", "\t\n"])
async def test_a_reason_and_a_note_say_something(desk, said):
    [letter] = await desk.refused(1)
    await desk.post(f"/dead-letters/{letter['id']}/discard", {"reason": said}, expected=422)
    await desk.post(f"/dead-letters/{letter['id']}/notes", {"text": said}, expected=422)
    await desk.post("/requeue-runs", {"ids": [letter["id"]], "reason": said}, expected=422)


async def test_notes_stay_with_their_letter(desk):
    [letter] = await desk.refused(1)
    await desk.post(f"/dead-letters/{letter['id']}/notes", {"text": "asked the merchant"}, expected=201)
    await desk.post(f"/dead-letters/{letter['id']}/notes", {"text": "they say no"}, expected=201)
    notes = (await desk.get(f"/dead-letters/{letter['id']}"))["notes"]
    assert [(note["author"], note["text"]) for note in notes] == [
        ("tester@example.com", "asked the merchant"),
        ("tester@example.com", "they say no"),
    ]


async def test_the_export_is_the_list_with_formulas_defused(desk):
    desk.sample.scripted.failures[:] = [RefusedNoteError("=HYPERLINK(1)")]
    await desk.publish_note("formula")
    [letter] = await desk.until_dead(1)
    answer = await desk.call("GET", "/dead-letters/export", params={"organization_id": str(desk.organization_id)})
    assert answer.headers["content-type"].startswith("text/csv")
    [row] = list(csv.DictReader(io.StringIO(answer.text)))
    assert row["id"] == letter["id"]
    assert row["error_message"] == "'=HYPERLINK(1)"


async def test_a_run_sends_one_then_ten_then_the_rest(desk):
    letters = await desk.refused(MANY)
    asked = {"filter": {"organization_id": [str(desk.organization_id)]}, "reason": "mended", "rate_per_s": 200}
    preview = await desk.post("/requeue-runs", {**asked, "dry_run": True})
    assert (preview["total"], preview["destinations"]) == (
        MANY,
        [{"queue": ECHO.queue, "event": NoteWritten.event_name, "count": MANY}],
    )
    assert len(await desk.mine(status="dead")) == MANY

    run = await desk.post("/requeue-runs", asked, expected=202)
    assert (run["state"], run["stage"], run["total"]) == ("running", "canary_1", MANY)
    ended = await desk.run_ended(run["id"])
    assert (ended["state"], ended["stage"], ended["sent"], ended["handled"], ended["failed"]) == (
        "done",
        "all",
        MANY,
        MANY,
        0,
    )
    assert {x["id"] for x in await desk.mine(status="requeued")} == {x["id"] for x in letters}
    nothing = await desk.post("/requeue-runs", asked, expected=409)
    assert nothing["code"] == "nothing_to_requeue"
    begun = await desk.audited(action="requeue_run.begin")
    [entry] = [entry for entry in begun if entry["detail"]["run_id"] == run["id"]]
    assert (entry["reason"], entry["detail"]["total"]) == ("mended", MANY)


async def test_a_run_stops_at_the_first_that_fails_again(desk):
    await desk.refused(MANY)
    desk.sample.scripted.failures[:] = [RefusedNoteError("Still refused.")]
    asked = {"filter": {"organization_id": [str(desk.organization_id)]}, "reason": "is it mended?"}
    ended = await desk.run_ended((await desk.post("/requeue-runs", asked, expected=202))["id"])
    assert (ended["state"], ended["stage"], ended["sent"], ended["failed"]) == ("stopped", "canary_1", 1, 1)
    assert "failed again: refused_note: Still refused." in ended["stop_reason"]
    dead = await desk.mine(status="dead")
    assert sorted(letter["failures"] for letter in dead) == [1] * (MANY - 1) + [2]

    # What was not sent is free for the next run.
    again = await desk.run_ended((await desk.post("/requeue-runs", asked, expected=202))["id"])
    assert (again["state"], again["handled"]) == ("done", MANY)


async def test_two_runs_at_once_share_no_letter_and_each_is_handled_once(desk):
    await desk.refused(6)
    before = desk.sample.scripted.deliveries
    asked = {"filter": {"organization_id": [str(desk.organization_id)]}, "reason": "twice", "canary": False}
    answers = await asyncio.gather(
        *(
            desk.sample.http.post(f"{OPS}/requeue-runs", json=asked, headers=desk.sample.headers(None, Role.OPERATOR))
            for _ in range(2)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [202, 409]
    [run] = [answer.json() for answer in answers if answer.status_code == 202]
    assert (await desk.run_ended(run["id"]))["handled"] == 6
    assert desk.sample.scripted.deliveries - before == 6


async def test_a_stopped_run_lets_its_letters_go(desk):
    await desk.refused(MANY)
    asked = {
        "filter": {"organization_id": [str(desk.organization_id)]},
        "reason": "slowly",
        "canary": False,
        "rate_per_s": 1,
    }
    run = await desk.post("/requeue-runs", asked, expected=202)
    in_run = (await desk.mine(status="dead"))[0]
    blocked = await desk.post(f"/dead-letters/{in_run['id']}/discard", {"reason": "no"}, expected=409)
    assert blocked["code"] in {"dead_letter_in_run", "dead_letter_not_dead"}
    for _ in range(2):
        stopped = await desk.post(f"/requeue-runs/{run['id']}/stop", {"reason": "changed my mind"})
    assert stopped["state"] == "stopped"
    ended = await desk.run_ended(run["id"])
    assert ended["sent"] < MANY
    assert len(await desk.mine(status="dead")) == MANY - ended["sent"]


async def test_a_run_begins_and_stops_without_writing_a_letter(desk):
    # A letter has a dozen indexes: a run of 100,000 could else be neither begun nor stopped within a statement's time.
    await desk.refused(3)
    asked = {"filter": {"organization_id": [str(desk.organization_id)]}, "reason": "slowly", "rate_per_s": 1}

    async def places():
        async with desk.sample.runtime.database.engine.begin() as connection:
            found = await connection.execute(
                text("SELECT id::text, ctid::text FROM dead_letters WHERE organization_id = :org AND status = 'dead'"),
                {"org": desk.organization_id},
            )
            return {row.id: row.ctid for row in found}

    before = await places()
    run = await desk.post("/requeue-runs", asked, expected=202)
    waiting = [letter for letter in await desk.mine(status="dead") if letter["run_id"] == run["id"]]
    assert len(waiting) >= 1
    await desk.post(f"/requeue-runs/{run['id']}/stop")
    ended = await desk.run_ended(run["id"])
    after = await places()
    assert len(after) == 3 - ended["sent"]
    assert {letter_id: before[letter_id] for letter_id in after} == after
    assert {letter["run_id"] for letter in await desk.mine(status="dead")} == {None}


async def test_a_step_that_dies_has_done_nothing_and_is_done_whole_by_the_next_runner(desk):
    await desk.refused(1)
    asked = {"ids": [x["id"] for x in await desk.mine()], "reason": "by hand", "rate_per_s": 1000}
    before = desk.sample.scripted.deliveries
    run = await desk.post("/requeue-runs", asked, expected=202)

    with pytest.raises(DiedError):
        await step_and_die(desk.sample.runtime.units)
    ended = await desk.run_ended(run["id"])
    assert (ended["state"], ended["sent"], ended["handled"]) == ("done", 1, 1)
    assert desk.sample.scripted.deliveries - before == 1


async def states_without_a_broker(units, letter_id):
    """Return where a run of one letter stands at once, after an hour without the broker, and twice after its return.

    Never committed, so that no relay sees the copy.
    """
    order = runs.RunOrder(Selection(ids=[letter_id]), "mended", canary=True, rate_per_s=50, requested_by="tester")
    runner = RequeueRunner(units, answer_timeout_s=90)
    begun_at, states = utc_now(), []
    async with units.bypass_tenancy("a run without a broker") as unit:
        run_id = await runs.begin_run(unit, order, now=begun_at)
        for minutes in (0, 60, 61, 62):
            now = begun_at + timedelta(minutes=minutes)
            while await runner.step(unit, now=now):
                pass
            states.append((await runs.get_run(unit, run_id)).state)
            if minutes == 60:
                confirmed = (
                    "UPDATE outbox SET sent_at = :now FROM dead_letters AS letter"
                    " WHERE outbox.id = letter.requeue_outbox_id AND letter.id = :letter_id"
                )
                await unit.session.execute(text(confirmed), {"now": now, "letter_id": letter_id})
        await unit.session.rollback()
    return states


async def test_a_run_waits_for_a_broker_that_is_away_and_asks_for_answers_only_afterwards(desk):
    [letter] = await desk.refused(1)
    states = await states_without_a_broker(desk.sample.runtime.units, letter["id"])
    assert states == ["running", "running", "running", "stopped"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/dead-letters/{id}/requeue"),
        ("POST", "/dead-letters/{id}/discard"),
        ("POST", "/dead-letters/{id}/restore"),
        ("POST", "/dead-letters/{id}/notes"),
        ("POST", "/dead-letters/discard"),
        ("POST", "/requeue-runs"),
        ("POST", "/requeue-runs/{id}/stop"),
    ],
)
async def test_who_may_only_read_does_not_act(desk, method, path):
    body = {"reason": "no", "text": "no", "ids": [str(new_id())]}
    answer = await desk.call(method, path.format(id=new_id()), role=Role.OPERATOR_VIEWER, expected=403, json=body)
    assert answer.json()["code"] == "missing_role"


@pytest.mark.parametrize("path", ["/dead-letters", "/dead-letters/groups", "/requeue-runs", "/audit"])
async def test_viewers_read_and_merchants_do_not(desk, path):
    await desk.call("GET", path, role=Role.OPERATOR_VIEWER)
    merchant = await desk.sample.http.get(OPS + path, headers=desk.sample.headers(new_id(), Role.OWNER))
    assert merchant.status_code == 403


async def test_the_audit_log_cannot_be_changed(desk):
    [letter] = await desk.refused(1)
    await desk.post(f"/dead-letters/{letter['id']}/discard", {"reason": "kept for ever"})
    for statement in ("UPDATE audit_log SET actor = 'somebody else'", "DELETE FROM audit_log"):
        with pytest.raises(DBAPIError, match="append-only"):
            async with desk.sample.runtime.database.engine.begin() as connection:
                await connection.execute(text(statement))


async def test_settled_letters_leave_in_time_and_the_dead_stay(desk):
    letters = await desk.refused(2)
    gone, kept = (letter["id"] for letter in letters)
    await desk.post(f"/dead-letters/{gone}/discard", {"reason": "old"})
    await desk.post(f"/dead-letters/{gone}/notes", {"text": "goes with it"}, expected=201)
    async with desk.sample.runtime.database.engine.begin() as connection:
        long_ago = {"org": desk.organization_id}
        aged = "discarded_at = discarded_at - interval '40 days', last_failed_at = last_failed_at - interval '40 days'"
        await connection.execute(text(f"UPDATE dead_letters SET {aged} WHERE organization_id = :org"), long_ago)  # noqa: S608 - our own words
    await purge_settled(desk.sample.runtime.database, keep_days=30, now=utc_now())
    await desk.call("GET", f"/dead-letters/{gone}", expected=404)
    assert (await desk.get(f"/dead-letters/{kept}"))["status"] == "dead"


async def test_a_failure_that_comes_in_the_middle_of_a_step_is_counted_by_the_next(desk, monkeypatch):
    letters = await desk.refused(2)
    selection = Selection(ids=[letter["id"] for letter in letters])
    order = runs.RunOrder(selection, "mended", canary=True, rate_per_s=50, requested_by="tester")
    units = desk.sample.runtime.units
    moves, now = RequeueRunner(units, answer_timeout_s=90), utc_now()
    async with units.bypass_tenancy("a run whose letter fails at the wrong moment") as unit:
        run_id = await runs.begin_run(unit, order, now=now)
        assert await moves.step(unit, now=now)
        failed = "UPDATE dead_letters SET status = 'dead', run_state = 'failed' WHERE run_id = :run_id"
        await unit.session.execute(text(failed), {"run_id": run_id})
        with monkeypatch.context() as patched:
            # The count of the failures has just been taken.
            nothing = "SELECT id, error_type, error_message FROM dead_letters WHERE run_id = :run_id AND false"
            patched.setattr(runner, "_COUNT_FAILED", text(nothing))
            assert await moves.step(unit, now=now + timedelta(seconds=1))
        between = await runs.get_run(unit, run_id)
        assert await moves.step(unit, now=now + timedelta(seconds=2))
        after = await runs.get_run(unit, run_id)
        await unit.session.rollback()
    assert (between.stage, between.sent, between.state, between.finished_at) == ("canary_1", 1, "running", None)
    assert (after.stage, after.sent, after.state, after.failed) == ("canary_1", 1, "stopped", 1)
