"""Signing in is kept safely and goes on by itself; over real HTTP."""

import json
import stat
import threading

import pytest
from rappit_cli.client import Api
from rappit_cli.errors import NotSignedInError
from rappit_cli.session import SessionStore


def session_file(tmp_path):
    return tmp_path / "rappit" / "session.json"


def test_login_keeps_the_session_for_its_owner_only(rappit, run, tmp_path):
    outcome = run("login", "--url", rappit.url + "/", "--email", "olga@acme.test", RAPPIT_PASSWORD="right password")
    assert (outcome.status, outcome.out) == (0, f"Signed in to {rappit.url} as olga@acme.test.\n")
    file = session_file(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert "right password" not in file.read_text()
    assert json.loads(file.read_text())["refresh_token"] == "refresh-1"


def test_wrong_password_shows_the_exact_reason(rappit, run, tmp_path):
    outcome = run("login", "--url", rappit.url, "--email", "olga@acme.test", RAPPIT_PASSWORD="wrong")
    assert (outcome.status, outcome.err) == (1, "The e-mail address or the password is wrong.\n")
    assert not session_file(tmp_path).exists()


def test_password_is_not_asked_for_where_nobody_sits(rappit, run):
    outcome = run("login", "--url", rappit.url, "--email", "olga@acme.test")
    assert (outcome.status, "RAPPIT_PASSWORD" in outcome.err) == (1, True)


@pytest.mark.parametrize(("url", "words"), [("http://127.0.0.1:1", "cannot be reached"), ("rappit.test", "http://")])
def test_nobody_there_is_a_sentence(run, url, words):
    outcome = run("login", "--url", url, "--email", "a@b.test", RAPPIT_PASSWORD="x")
    assert outcome.status == 1
    assert words in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_commands_need_a_session(run):
    outcome = run("whoami")
    assert (outcome.status, outcome.err.startswith("You are not signed in")) == (1, True)


def test_damaged_session_says_what_to_do(signed_in, tmp_path):
    session_file(tmp_path).write_text("{")
    outcome = signed_in("whoami")
    assert (outcome.status, "run `rappit login`" in outcome.err) == (1, True)


def test_whoami(rappit, signed_in):
    rappit.answer("GET", "/auth/me", {"name": "Olga", "role": "owner", "organization": {"name": "Acme"}, "id": "7"})
    outcome = signed_in("whoami")
    assert outcome.out.splitlines() == [
        "Name:            Olga",
        "Role:            owner",
        "Organization:    Acme",
        "Id:              7",
    ]
    assert json.loads(signed_in("whoami", "--json").out)["role"] == "owner"


def test_refused_access_token_is_refreshed_once_and_stored(rappit, signed_in, tmp_path):
    rappit.answer("GET", "/auth/me", {"name": "Olga"})
    rappit.access_token = "another, since the first ran out"
    assert signed_in("whoami").status == 0
    assert json.loads(session_file(tmp_path).read_text())["refresh_token"] == "refresh-2"
    assert signed_in("whoami").status == 0
    assert len(rappit.requests("POST", "/auth/refresh")) == 1


def test_token_about_to_expire_is_refreshed_first(rappit, signed_in, tmp_path):
    rappit.answer("GET", "/auth/me", {"name": "Olga"})
    file = session_file(tmp_path)
    file.write_text(json.dumps({**json.loads(file.read_text()), "expires_at_s": 1}))
    assert signed_in("whoami").status == 0
    assert [request[3]["authorization"] for request in rappit.requests("GET", "/auth/me")] == ["Bearer access-2"]


def test_ended_session_is_forgotten(rappit, signed_in, tmp_path):
    rappit.access_token, rappit.refresh_token = "gone", "gone"
    outcome = signed_in("whoami")
    assert (outcome.status, outcome.err) == (1, "Your session has ended: run `rappit login` again.\n")
    assert not session_file(tmp_path).exists()


def test_processes_at_once_refresh_once(rappit, signed_in, tmp_path):
    """A refresh token used twice would end the session: of many that find the token stale, one refreshes."""
    rappit.answer("GET", "/auth/me", {"name": "Olga"})
    file = session_file(tmp_path)
    file.write_text(json.dumps({**json.loads(file.read_text()), "expires_at_s": 1}))
    answers, start = [], threading.Barrier(4)

    def ask():
        api = Api(SessionStore(tmp_path / "rappit"))
        try:
            start.wait(10)
            answers.append(api.get("/auth/me"))
        finally:
            api.close()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert answers == [{"name": "Olga"}] * 4
    assert len(rappit.requests("POST", "/auth/refresh")) == 1


def test_logout_ends_it_there_and_here(rappit, signed_in, tmp_path):
    assert signed_in("logout").out == "Signed out.\n"
    assert rappit.refresh_token == "ended"
    assert not session_file(tmp_path).exists()
    assert signed_in("logout").out == "Nobody was signed in.\n"


def test_api_key_of_the_environment_signs_in_and_stores_nothing(rappit, run, tmp_path):
    rappit.answer("GET", "/auth/me", {"name": "ERP"})
    outcome = run("whoami", RAPPIT_API_KEY="rk_good", RAPPIT_URL=rappit.url)
    assert (outcome.status, "ERP" in outcome.out) == (0, True)
    assert not session_file(tmp_path).exists()
    refused = run("whoami", RAPPIT_API_KEY="rk_bad", RAPPIT_URL=rappit.url)
    assert (refused.status, refused.err) == (1, "The API key is not valid.\n")
    assert run("whoami", RAPPIT_API_KEY="rk_good").status == 1


def test_store_without_a_session_is_not_signed_in(tmp_path):
    api = Api(SessionStore(tmp_path))
    with pytest.raises(NotSignedInError):
        api.get("/auth/me")
    api.close()
