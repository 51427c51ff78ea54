"""Dead letters across services: what is asked of whom, and what a person is told; over real HTTP."""

import json
from datetime import UTC, datetime

import pytest
import typer
from rappit_cli.commands.dead_letters.filters import filter_of, moment
from rappit_cli.commands.dead_letters.services import Service

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
LETTERS = {service: service.letters for service in Service}
ORDERS, INVENTORY, SHIPPING, GATEWAY = (LETTERS[service] for service in Service)
AWAY = {"code": "unavailable", "detail": "The database is away for the moment."}


def page(*items, next_cursor=None):
    return {"items": list(items), "next_cursor": next_cursor}


def letter(number, failed_at="2026-01-03", **more):
    return {
        "id": f"l-{number}",
        "queue": f"queue-{number}",
        "status": "dead",
        "error_type": "conflict",
        "error_message": "No.",
        "error_stack": "Trace\n  line",
        "failures": 1,
        "last_failed_at": failed_at,
        "content_type": "application/json",
        "body": '{"a":1}',
        "body_encoding": "utf-8",
        "body_pretty": '{\n  "a": 1\n}',
        "notes": [],
        "links": {"order": "/orders/o-1", "webhook": None, "trace_id": "t"},
        **more,
    }


@pytest.fixture
def quiet(rappit):
    """Nobody has any dead letter but who is told so."""

    def only(*with_something):
        for path in LETTERS.values():
            if path not in with_something:
                rappit.answer("GET", path, page())
        return rappit

    return only


class TestReading:
    def test_letters_of_all_services_are_merged_latest_first(self, quiet, signed_in):
        rappit = quiet(ORDERS, INVENTORY)
        rappit.answer("GET", ORDERS, page(letter(1, "2026-01-01"), letter(2, "2026-01-04")))
        rappit.answer("GET", INVENTORY, page(letter(3, "2026-01-03")))
        listed = json.loads(signed_in("dead-letters", "list", "--json", "--limit", "2").out)
        assert [(x["id"], x["service"]) for x in listed["items"]] == [("l-2", "orders"), ("l-3", "inventory")]
        assert (listed["more"], listed["away"]) == (True, [])
        outcome = signed_in("dead-letters", "list", "--status", "dead")
        rows = [line.split()[:2] for line in outcome.out.splitlines()]
        assert rows == [["SERVICE", "QUEUE"], ["orders", "queue-2"], ["inventory", "queue-3"], ["orders", "queue-1"]]
        assert outcome.status == 0
        assert signed_in("dead-letters", "list", "--status", "alive").status == 2

    def test_a_service_that_is_away_is_named_and_the_others_are_shown(self, quiet, signed_in):
        rappit = quiet(ORDERS, INVENTORY)
        rappit.answer("GET", ORDERS, page(letter(1)))
        rappit.answer("GET", INVENTORY, AWAY, 503)
        outcome = signed_in("dead-letters", "list")
        assert (outcome.status, "l-1" in outcome.out) == (1, True)
        assert outcome.err == "inventory is left out: The database is away for the moment.\n"
        outcome = signed_in("dead-letters", "list", "--json")
        assert (outcome.status, json.loads(outcome.out)["away"]) == (1, ["inventory"])
        assert signed_in("dead-letters", "list", "--service", "orders", "--service", "shipping").status == 0

    def test_a_refusal_is_no_absence(self, rappit, signed_in):
        rappit.answer("GET", ORDERS, {"code": "missing_role", "detail": "You may not."}, 403)
        outcome = signed_in("dead-letters", "list")
        assert (outcome.status, outcome.out, outcome.err) == (1, "", "You may not.\n")
        assert len(rappit.asked) == 1

    def test_every_option_narrows_as_the_api_names_it(self, rappit, signed_in):
        rappit.answer("GET", GATEWAY, page())
        options = [
            *("--queue", "a", "--queue", "b", "--not-queue", "c", "--event", "d", "--not-event", "e"),
            *("--tenant", "f", "--not-tenant", "g", "--error", "h", "--not-error", "i", "--group", "j"),
            *("--not-group", "k", "--text", '"not found" -sku', "--since", "2026-01-01T00:00:00Z"),
            *("--until", "2026-01-02T00:00:00+01:00", "--status", "dead", "--status", "discarded"),
        ]
        assert signed_in("dead-letters", "list", "--service", "webhook-gateway", *options).status == 0
        [(_, asked, _, _)] = rappit.asked
        assert asked == (
            "/channels/ops/dead-letters?status=dead&status=discarded&queue=a&queue=b&not_queue=c&event=d&not_event=e"
            "&organization_id=f&not_organization_id=g&error_type=h&not_error_type=i&group=j&not_group=k"
            "&text=%22not+found%22+-sku&failed_since=2026-01-01T00%3A00%3A00%2B00%3A00"
            "&failed_before=2026-01-02T00%3A00%3A00%2B01%3A00&limit=50"
        )

    def test_groups_of_all_services_are_merged_most_frequent_first(self, rappit, signed_in):
        for number, path in enumerate(LETTERS.values()):
            group = {"group_key": f"g-{number}", "count": number * 10, "queue": "q", "sample_message": "No SKU A."}
            rappit.answer("GET", f"{path}/groups", {"items": [group]})
        outcome = signed_in("dead-letters", "groups", "--error", "x")
        assert [line.split()[0] for line in outcome.out.splitlines()] == ["COUNT", "30", "20", "10", "0"]
        assert "No SKU A." in outcome.out
        assert [x[1] for x in rappit.asked] == [f"{path}/groups?error_type=x" for path in LETTERS.values()]

    def test_a_letter_is_found_in_its_service_and_shown_whole(self, rappit, signed_in):
        note = {"author": "olga", "at": "2026-01-04", "text": "Shop\x1b[2J was told."}
        rappit.answer("GET", f"{INVENTORY}/l-3", letter(3, notes=[note], body='{"a":1}\x1b[2J'))
        shown = signed_in("dead-letters", "show", "l-3").out
        assert 'Body (application/json):\n{\n  "a": 1\n}\n' in shown
        assert "Trace\n  line" in shown
        assert "Shop [2J was told." in shown
        assert "/orders/o-1" in shown
        raw = signed_in("dead-letters", "show", "l-3", "--raw").out
        assert '{"a":1}\ufffd[2J\n' in raw
        assert json.loads(signed_in("dead-letters", "show", "l-3", "--json").out)["id"] == "l-3"

    def test_what_came_from_outside_never_steers_the_terminal(self, rappit, signed_in):
        nasty = "No.\x1b[2J\x9b31m\u202e"
        rappit.answer("GET", f"{ORDERS}/l-1", {"code": "x", "detail": nasty}, 409)
        assert signed_in("dead-letters", "show", "l-1").err == "No. [2J 31m \n"
        rappit.answers[f"GET {ORDERS}/l-1"] = [(200, letter(1, error_message=nasty))]
        out = signed_in("dead-letters", "show", "l-1", "--json").out
        assert not any(character in out for character in nasty[3:] if not character.isprintable())
        assert json.loads(out)["error_message"] == nasty

    def test_a_letter_nobody_has_shows_the_exact_reason(self, signed_in):
        outcome = signed_in("dead-letters", "requeue", "l-9")
        assert (outcome.status, outcome.err) == (1, "Nothing is at /channels/ops/dead-letters/l-9.\n")

    def test_a_letter_of_a_service_that_is_away_is_not_said_to_be_none(self, rappit, signed_in):
        rappit.answer("GET", f"{SHIPPING}/l-9", AWAY, 503)
        outcome = signed_in("dead-letters", "show", "l-9")
        assert (outcome.status, outcome.err.splitlines()[1]) == (
            1,
            "Nobody who is there knows it; shipping could not be asked.",
        )

    def test_audit_is_merged_newest_first_and_narrowed(self, rappit, signed_in):
        for number, service in enumerate(Service):
            entry = {"id": number, "at": f"2026-01-0{number + 1}", "actor": f"a-{number}", "action": "x", "reason": "r"}
            rappit.answer("GET", f"{service.ops}/audit", page(entry))
        outcome = signed_in("dead-letters", "audit", "--actor", "o", "--letter", "l-1", "--since", "2026-01-01T00:00Z")
        assert [line.split()[2] for line in outcome.out.splitlines()[1:]] == ["a-3", "a-2", "a-1", "a-0"]
        assert rappit.asked[0][1] == (
            "/orders/ops/audit?actor=o&letter_id=l-1&since=2026-01-01T00%3A00%3A00%2B00%3A00&limit=50"
        )


class TestExport:
    @pytest.fixture
    def exported(self, rappit):
        for number, path in enumerate(LETTERS.values()):
            rows = f'id,text\r\nl-{number},"two\nlines"\r\n' if number else "id,text\r\n"
            rappit.answer("GET", f"{path}/export", rows.encode())
        return rappit

    def test_services_share_one_header(self, exported, signed_in):
        outcome = signed_in("dead-letters", "export", "--queue", "q")
        assert (outcome.status, outcome.err) == (0, "")
        assert [row for row in outcome.out.split("\n") if row.strip() and "lines" not in row] == [
            "id,text\r",
            'l-1,"two',
            'l-2,"two',
            'l-3,"two',
        ]
        assert {x[1].partition("?")[2] for x in exported.asked} == {"queue=q"}

    def test_a_file_is_whole_or_untouched(self, exported, signed_in, tmp_path):
        file = tmp_path / "letters.csv"
        assert signed_in("dead-letters", "export", "--output", str(file)).out == ""
        assert file.read_bytes().count(b"id,text") == 1
        exported.answers[f"GET {SHIPPING}/export"] = [(200, b"id,other\r\n")]
        file.write_text("before")
        outcome = signed_in("dead-letters", "export", "--output", str(file))
        assert (outcome.status, outcome.err) == (
            1,
            "The columns of shipping are others: export it alone, with --service.\n",
        )
        assert file.read_text() == "before"
        assert list(tmp_path.glob(".letters*")) == []

    def test_a_service_that_is_away_is_left_out_by_name(self, exported, signed_in):
        exported.answers[f"GET {ORDERS}/export"] = [(503, AWAY)]
        outcome = signed_in("dead-letters", "export")
        assert (outcome.status, outcome.out.count("id,text")) == (1, 1)
        assert outcome.err.startswith("orders is left out:")

    def test_it_goes_on_after_a_refresh(self, exported, signed_in):
        exported.access_token = "another, since the first ran out"
        assert signed_in("dead-letters", "export").out.count("id,text") == 1


class TestPuttingAside:
    def test_one_letter_is_put_aside_and_back_in_its_service(self, rappit, signed_in):
        rappit.answer("GET", f"{GATEWAY}/l-1", letter(1))
        for verb in ("discard", "restore"):
            rappit.answer("POST", f"{GATEWAY}/l-1/{verb}", letter(1))
        assert signed_in("dead-letters", "discard", "l-1", "--reason", "a test").out == "l-1 is discarded.\n"
        assert signed_in("dead-letters", "restore", "l-1").out == "l-1 is restored.\n"
        assert rappit.told("POST", f"{GATEWAY}/l-1/discard") == [{"reason": "a test"}]
        assert signed_in("dead-letters", "discard", "l-1").status == 2

    def test_many_need_a_yes_to_their_number(self, rappit, signed_in, typing):
        for path, count in zip(LETTERS.values(), (3, 0, 2, 0), strict=True):
            rappit.answer("POST", f"{path}/discard", {"matched": count, "changed": count})
        discard = ("dead-letters", "discard", "--queue", "q", "--reason", "spam")
        alone = signed_in(*discard)
        assert (alone.status, alone.err) == (
            1,
            "Discard 5 dead letters (orders 3, shipping 2)? There is no terminal to ask: say --yes.\n",
        )
        typing("n")
        assert signed_in(*discard).status == 1
        assert all(told["dry_run"] for told in rappit.told("POST", f"{ORDERS}/discard"))
        typing("y")
        outcome = signed_in(*discard)
        assert (outcome.status, [line.split() for line in outcome.out.splitlines()][1:]) == (
            0,
            [["orders", "3", "3"], ["shipping", "2", "2"]],
        )
        sure = {"filter": {"queue": ["q"]}, "reason": "spam", "dry_run": False}
        assert rappit.told("POST", f"{ORDERS}/discard")[-1] == sure
        assert all(told["dry_run"] for told in rappit.told("POST", f"{INVENTORY}/discard"))
        assert signed_in(*discard, "--yes").status == 0

    def test_a_dry_run_only_counts(self, rappit, signed_in):
        for path in LETTERS.values():
            rappit.answer("POST", f"{path}/restore", {"matched": 4, "changed": 3})
        outcome = signed_in("dead-letters", "restore", "--status", "discarded", "--dry-run", "--json")
        assert [row["changed"] for row in json.loads(outcome.out)["items"]] == [3] * 4
        assert {told["dry_run"] for path in LETTERS.values() for told in rappit.told("POST", f"{path}/restore")} == {
            True
        }

    def test_nothing_meant_is_said(self, rappit, signed_in):
        for path in LETTERS.values():
            rappit.answer("POST", f"{path}/discard", {"matched": 1, "changed": 0})
        outcome = signed_in("dead-letters", "discard", "--group", "g", "--reason", "r")
        assert (outcome.status, outcome.err) == (1, "No dead letter is meant by that, so nothing was done.\n")

    @pytest.mark.parametrize("arguments", [(), ("l-1", "--queue", "q")])
    def test_neither_and_both_are_refused(self, rappit, signed_in, arguments):
        outcome = signed_in("dead-letters", "discard", *arguments, "--reason", "r")
        assert (outcome.status, rappit.asked) == (1, [])

    def test_a_note_is_written_down(self, rappit, signed_in):
        rappit.answer("GET", f"{ORDERS}/l-1", letter(1))
        rappit.answer("POST", f"{ORDERS}/l-1/notes", {"text": "seen"}, 201)
        assert signed_in("dead-letters", "note", "l-1", "seen").out == "Noted.\n"
        assert rappit.told("POST", f"{ORDERS}/l-1/notes") == [{"text": "seen"}]


class TestMoments:
    @pytest.mark.parametrize(
        ("text", "meant"),
        [
            ("2h", "2026-01-10T10:00:00+00:00"),
            ("3d", "2026-01-07T12:00:00+00:00"),
            ("90m", "2026-01-10T10:30:00+00:00"),
            ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00+00:00"),
        ],
    )
    def test_are_told_as_times_or_as_how_long_ago(self, text, meant):
        assert moment(text, "--since", now=NOW) == meant
        assert filter_of({"since": text, "until": None}, now=NOW).members == {"failed_since": meant}

    @pytest.mark.parametrize("text", ["yesterday", "2026-01-01T00:00:00", "2x", "999999w", ""])
    def test_anything_else_is_misuse(self, text):
        with pytest.raises(typer.BadParameter, match="RFC 3339"):
            moment(text, "--since", now=NOW)

    def test_misuse_ends_with_2(self, signed_in):
        assert signed_in("dead-letters", "list", "--since", "yesterday").status == 2
