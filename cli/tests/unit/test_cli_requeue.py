"""Requeueing: one letter with and without an edit, and many in runs; over real HTTP."""

import json

import pytest
from rappit_cli.commands.dead_letters import runs
from rappit_cli.commands.dead_letters.services import Service

LETTER = {
    "id": "l-3",
    "queue": "inventory.reserve",
    "body": '{"a":1}',
    "body_encoding": "utf-8",
    "body_pretty": '{\n  "a": 1\n}',
}
AT = "/inventory/ops/dead-letters/l-3"
SENT = {"exchange": "", "routing_key": "inventory.reserve", "message_id": "m-1", "headers": {"traceparent": "00"}}
PREVIEW = {"would_send": SENT, "diff": ["--- failed", "+++ edited", '-  "a": 1', '+  "a": 2']}
REFUSED = {"code": "edited_body_invalid", "detail": "lines.0.quantity: Input should be greater than 0"}
NOTHING = {"total": 0, "destinations": [], "sample_ids": []}


def preview(total):
    destination = {"queue": "q", "event": "orders.order-placed.v1", "count": total}
    return {"total": total, "destinations": [destination], "sample_ids": ["l-1"]}


def run_of(service, state="running", **more):
    return {
        "id": f"r-{service.value}",
        "state": state,
        "stage": "canary_1",
        "total": 3,
        "sent": 1,
        "handled": 0,
        "failed": 0,
        "stop_reason": None,
        "created_at": "2026-01-01",
        **more,
    }


def runs_at(service):
    return f"{service.ops}/requeue-runs"


@pytest.fixture
def one(rappit):
    rappit.answer("GET", AT, LETTER)
    return rappit


@pytest.fixture
def many(rappit):
    """Orders would send three letters, shipping two, the others none."""
    for service, total in ((Service.ORDERS, 3), (Service.SHIPPING, 2)):
        rappit.answer("POST", runs_at(service), preview(total))
        rappit.answer("POST", runs_at(service), run_of(service), 202)
    rappit.answer("POST", runs_at(Service.INVENTORY), NOTHING)
    rappit.answer("POST", runs_at(Service.WEBHOOK_GATEWAY), {"code": "nothing_to_requeue", "detail": "None."}, 409)
    return rappit


@pytest.fixture
def editor(tmp_path):
    """Return an editor's command that replaces texts in what it is given, one more each time it is run."""

    def made(*replacements):
        script, state = tmp_path / "editor.py", tmp_path / "state"
        script.write_text(
            "import pathlib, sys\n"
            f"state, pairs = pathlib.Path({str(state)!r}), {replacements!r}\n"
            "n = len(state.read_text()) if state.exists() else 0\n"
            "state.write_text('x' * (n + 1))\n"
            "file = pathlib.Path(sys.argv[1])\n"
            "file.write_text(file.read_text().replace(*pairs[n]) + '\\n')\n"
        )
        return f"python3 {script}"

    return made


class TestOne:
    def test_goes_back_to_its_queue_without_a_question(self, one, signed_in):
        one.answer("POST", f"{AT}/requeue", LETTER, 202)
        assert signed_in("dead-letters", "requeue", "l-3").out == "l-3 goes back to inventory.reserve.\n"
        assert one.told("POST", f"{AT}/requeue") == [{"reason": "requested with the command line"}]

    def test_goes_with_the_text_of_a_file(self, one, signed_in, tmp_path):
        one.answer("POST", f"{AT}/requeue", LETTER, 202)
        mended = tmp_path / "mended.json"
        mended.write_text('{"a": 2}')
        requeue = ("dead-letters", "requeue", "l-3", "--body-file", str(mended), "--reason", "bad total")
        assert signed_in(*requeue).status == 0
        assert one.told("POST", f"{AT}/requeue") == [{"reason": "bad total", "body": '{"a": 2}'}]
        assert signed_in(*requeue, "l-4").status == 1
        assert signed_in(*requeue, "--queue", "q").status == 1
        assert signed_in(*requeue, "--edit").status == 1
        mended.write_bytes(b"\xff")
        assert signed_in(*requeue).err == f"{mended} is not UTF-8 text.\n"
        assert len(one.told("POST", f"{AT}/requeue")) == 1

    def test_a_dry_run_says_what_would_be_sent_and_sends_nothing(self, one, signed_in):
        one.answer("POST", f"{AT}/requeue", {**PREVIEW, "diff": []})
        outcome = signed_in("dead-letters", "requeue", "l-3", "--dry-run")
        assert outcome.status == 0
        assert "Routing key: inventory.reserve" in outcome.out
        assert '{"traceparent": "00"}' in outcome.out
        assert [told["dry_run"] for told in one.told("POST", f"{AT}/requeue")] == [True]


class TestEdit:
    def test_the_difference_is_shown_and_sent_after_a_yes(self, one, signed_in, typing, editor):
        one.answer("POST", f"{AT}/requeue", PREVIEW)
        one.answer("POST", f"{AT}/requeue", LETTER, 202)
        typing("y")
        outcome = signed_in("dead-letters", "requeue", "l-3", "--edit", EDITOR=editor(("1", "2")))
        assert outcome.status == 0, outcome.err
        assert '-  "a": 1\n+  "a": 2\n' in outcome.out
        assert "Send it like this?" in outcome.err
        first, second = one.told("POST", f"{AT}/requeue")
        assert (first["dry_run"], first["body"]) == (True, '{\n  "a": 2\n}\n')
        assert (second.get("dry_run"), second["body"]) == (None, first["body"])

    def test_a_no_sends_nothing(self, one, signed_in, typing, editor):
        one.answer("POST", f"{AT}/requeue", PREVIEW)
        typing("n")
        assert signed_in("dead-letters", "requeue", "l-3", "--edit", EDITOR=editor(("1", "2"))).status == 1
        assert [told["dry_run"] for told in one.told("POST", f"{AT}/requeue")] == [True]

    def test_a_refused_edit_is_told_in_the_apis_words_and_edited_again(self, one, signed_in, typing, editor):
        one.answer("POST", f"{AT}/requeue", REFUSED, 422)
        one.answer("POST", f"{AT}/requeue", PREVIEW)
        one.answer("POST", f"{AT}/requeue", LETTER, 202)
        typing("y", "y")
        outcome = signed_in("dead-letters", "requeue", "l-3", "--edit", EDITOR=editor(("1", "-1"), ("-1", "2")))
        assert outcome.status == 0, outcome.err
        assert REFUSED["detail"] in outcome.err
        assert [json.loads(told["body"]) for told in one.told("POST", f"{AT}/requeue")] == [
            {"a": -1},
            {"a": 2},
            {"a": 2},
        ]

    def test_without_a_terminal_a_refusal_ends_it(self, one, signed_in, editor):
        one.answer("POST", f"{AT}/requeue", REFUSED, 422)
        outcome = signed_in("dead-letters", "requeue", "l-3", "--edit", "--yes", EDITOR=editor(("1", "-1")))
        assert (outcome.status, outcome.err) == (1, f"{REFUSED['detail']}\n")

    def test_yes_needs_no_terminal(self, one, signed_in, editor):
        one.answer("POST", f"{AT}/requeue", PREVIEW)
        one.answer("POST", f"{AT}/requeue", LETTER, 202)
        assert signed_in("dead-letters", "requeue", "l-3", "--edit", "--yes", EDITOR=editor(("1", "2"))).status == 0

    @pytest.mark.parametrize(
        ("command", "words"),
        [
            ("true", "Nothing was changed, so nothing is sent."),
            ("false", "false ended with 1, so nothing is sent."),
            ("", "There is no editor: set EDITOR, for example to nano."),
            ("/nowhere/vi", "/nowhere/vi cannot be run:"),
        ],
    )
    def test_nothing_edited_is_nothing_sent(self, one, signed_in, command, words):
        outcome = signed_in("dead-letters", "requeue", "l-3", "--edit", EDITOR=command)
        assert (outcome.status, outcome.err.startswith(words)) == (1, True)
        assert one.told("POST", f"{AT}/requeue") == []

    def test_a_body_that_is_no_text_is_not_edited(self, rappit, signed_in):
        rappit.answer("GET", AT, {**LETTER, "body_encoding": "base64"})
        outcome = signed_in("dead-letters", "requeue", "l-3", "--edit", EDITOR="true")
        assert (outcome.status, "--body-file" in outcome.err) == (1, True)


class TestMany:
    def test_a_filter_begins_a_run_in_each_service_that_has_any(self, many, signed_in):
        filters = ("--error", "conflict", "--no-canary", "--rate", "7", "--reason", "mended")
        outcome = signed_in("dead-letters", "requeue", *filters, "--yes")
        assert (outcome.status, outcome.err) == (0, "")
        assert [line.split()[0] for line in outcome.out.splitlines()] == ["SERVICE", "orders", "shipping"]
        asked = {"reason": "mended", "canary": False, "rate_per_s": 7, "filter": {"error_type": ["conflict"]}}
        assert many.told("POST", runs_at(Service.ORDERS)) == [{**asked, "dry_run": True}, asked]
        assert many.told("POST", runs_at(Service.INVENTORY)) == [{**asked, "dry_run": True}]

    def test_it_needs_a_yes_to_the_number(self, many, signed_in, typing):
        outcome = signed_in("dead-letters", "requeue", "--group", "g")
        assert (outcome.status, outcome.err) == (
            1,
            "Requeue 5 dead letters (orders 3, shipping 2)? There is no terminal to ask: say --yes.\n",
        )
        many.answers[f"POST {runs_at(Service.ORDERS)}"] = [(200, preview(3))]
        many.answers[f"POST {runs_at(Service.SHIPPING)}"] = [(200, preview(2))]
        typing("no")
        assert signed_in("dead-letters", "requeue", "--group", "g").status == 1
        assert all(told["dry_run"] for told in many.told("POST", runs_at(Service.ORDERS)))

    def test_a_dry_run_says_where_they_would_go(self, many, signed_in):
        outcome = signed_in("dead-letters", "requeue", "--queue", "q", "--dry-run")
        assert [line.split() for line in outcome.out.splitlines()] == [
            ["SERVICE", "QUEUE", "EVENT", "COUNT"],
            ["orders", "q", "orders.order-placed.v1", "3"],
            ["shipping", "q", "orders.order-placed.v1", "2"],
            ["5", "dead", "letters", "would", "be", "sent."],
        ]
        assert all(told["dry_run"] for told in many.told("POST", runs_at(Service.ORDERS)))

    def test_several_ids_become_a_run_of_each_owner(self, many, signed_in):
        for number, service in ((1, Service.ORDERS), (2, Service.SHIPPING), (3, Service.ORDERS)):
            many.answer("GET", f"{service.letters}/l-{number}", {**LETTER, "id": f"l-{number}"})
        outcome = signed_in("dead-letters", "requeue", "l-1", "l-2", "l-3", "l-1", "--yes", "--json")
        assert [run["id"] for run in json.loads(outcome.out)["items"]] == ["r-orders", "r-shipping"]
        assert many.told("POST", runs_at(Service.ORDERS))[-1]["ids"] == ["l-1", "l-3"]
        assert many.told("POST", runs_at(Service.SHIPPING))[-1]["ids"] == ["l-2"]
        assert many.requests("POST", runs_at(Service.INVENTORY)) == []

    def test_nothing_dead_is_said(self, rappit, signed_in):
        for service in Service:
            rappit.answer("POST", runs_at(service), NOTHING)
        outcome = signed_in("dead-letters", "requeue", "--queue", "q", "--yes")
        assert (outcome.status, outcome.err) == (1, "No dead letter is meant by that, so nothing was done.\n")

    def test_a_service_that_is_away_keeps_nobody_else(self, many, signed_in):
        many.answers[f"POST {runs_at(Service.INVENTORY)}"] = [(503, {"code": "unavailable", "detail": "Away."})]
        outcome = signed_in("dead-letters", "requeue", "--queue", "q", "--yes")
        assert (outcome.status, outcome.err) == (1, "inventory is left out: Away.\n")
        assert len(many.told("POST", runs_at(Service.SHIPPING))) == 2


class TestRuns:
    @pytest.fixture(autouse=True)
    def _at_once(self, monkeypatch):
        monkeypatch.setattr(runs, "POLL_S", 0)
        monkeypatch.setattr(runs, "MAX_MISSES", 2)

    def test_following_shows_progress_until_all_are_done(self, many, signed_in):
        at = f"{runs_at(Service.ORDERS)}/r-orders"
        many.answer("GET", at, run_of(Service.ORDERS, stage="canary_10"))
        many.answer("GET", at, {"code": "unavailable", "detail": "Restarting."}, 503)
        many.answer("GET", at, run_of(Service.ORDERS, "done", stage="all", sent=3, handled=3))
        many.answer("GET", f"{runs_at(Service.SHIPPING)}/r-shipping", run_of(Service.SHIPPING, "done"))
        outcome = signed_in("dead-letters", "requeue", "--queue", "q", "--yes", "--follow")
        assert outcome.status == 0
        assert "orders: running, stage canary_10, 1 of 3 sent, 0 handled, 0 failed again.\n" in outcome.err
        assert "orders: done, stage all, 3 of 3 sent, 3 handled, 0 failed again.\n" in outcome.err
        assert outcome.out.splitlines()[1].split()[:2] == ["orders", "done"]

    def test_a_run_that_stopped_ends_with_1(self, many, signed_in):
        stopped = run_of(Service.ORDERS, "stopped", failed=1, stop_reason="l-1 failed again: No.")
        many.answer("GET", f"{runs_at(Service.ORDERS)}/r-orders", stopped)
        many.answer("GET", f"{runs_at(Service.SHIPPING)}/r-shipping", run_of(Service.SHIPPING, "done"))
        outcome = signed_in("dead-letters", "requeue", "--queue", "q", "--yes", "--follow", "--json")
        assert outcome.status == 1
        assert "1 failed again: l-1 failed again: No.\n" in outcome.err
        assert [run["state"] for run in json.loads(outcome.out)["items"]] == ["stopped", "done"]

    @pytest.mark.usefixtures("many")
    def test_who_stops_watching_is_told_which_runs_go_on(self, signed_in, monkeypatch):
        def interrupted(_seconds):
            raise KeyboardInterrupt

        monkeypatch.setattr(runs.time, "sleep", interrupted)
        outcome = signed_in("dead-letters", "requeue", "--queue", "q", "--yes", "--follow")
        assert outcome.status != 0
        for service in (Service.ORDERS, Service.SHIPPING):
            assert f"r-{service.value} goes on by itself: watch it with `rappit dead-letters run" in outcome.err

    def test_a_service_that_stays_away_ends_the_watching(self, rappit, signed_in):
        at = f"{runs_at(Service.ORDERS)}/r-orders"
        rappit.answer("GET", at, run_of(Service.ORDERS))
        rappit.answer("GET", at, {"code": "unavailable", "detail": "Away."}, 503)
        outcome = signed_in("dead-letters", "run", "r-orders", "--follow")
        assert (outcome.status, outcome.err.splitlines()[-1]) == (1, "Away.")

    def test_runs_are_listed_shown_and_stopped_wherever_they_are(self, rappit, signed_in):
        for service in Service:
            rappit.answer("GET", runs_at(service), {"items": [run_of(service)], "next_cursor": None})
        listed = signed_in("dead-letters", "runs")
        assert sorted(line.split()[0] for line in listed.out.splitlines()[1:]) == sorted(Service)
        at = f"{runs_at(Service.WEBHOOK_GATEWAY)}/r-1"
        rappit.answer("GET", at, run_of(Service.WEBHOOK_GATEWAY))
        shown = signed_in("dead-letters", "run", "r-1")
        assert (shown.status, "--follow watches it" in shown.out) == (0, True)
        stopped = run_of(Service.WEBHOOK_GATEWAY, "stopped", stop_reason="Stopped by olga: enough")
        rappit.answer("POST", f"{at}/stop", stopped)
        outcome = signed_in("dead-letters", "stop-run", "r-1", "--reason", "enough")
        assert (outcome.status, "Stopped by olga: enough" in outcome.out) == (0, True)
        assert rappit.told("POST", f"{at}/stop") == [{"reason": "enough"}]
