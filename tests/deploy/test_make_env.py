"""deploy/compose/make-env writes secrets once, and only for their owner."""

import socket
import subprocess
import sys

from .compose_file import FILE, ROOT, fill, make_env

SCRIPT = ROOT / "deploy/compose/make-env"


def run(path):
    return subprocess.run([sys.executable, str(SCRIPT), str(path)], capture_output=True, text=True, check=True).stdout


def test_writes_everything_required_for_its_owner_only(tmp_path):
    path = tmp_path / ".env"
    said = run(path)
    values = make_env().known(path)
    fill(FILE.read_text(), values)  # a required variable that is missing raises
    assert path.stat().st_mode & 0o777 == 0o600
    assert all(value not in said for name, value in values.items() if not name.endswith(("_PORT", "_NAME")))


def test_keeps_what_is_there_and_adds_what_is_missing(tmp_path):
    path = tmp_path / ".env"
    run(path)
    first = path.read_text()
    assert run(path) == ""
    assert path.read_text() == first
    path.write_text("# mine\nJWT_SECRET=kept\n")
    run(path)
    assert path.read_text().startswith("# mine\nJWT_SECRET=kept\n")
    assert make_env().known(path).keys() == {*first_names(first)}


def first_names(text):
    return [line.split("=", 1)[0] for line in text.splitlines() if "=" in line]


def test_every_secret_differs_each_time():
    one, other = (make_env().missing(FILE, {}) for _ in range(2))
    secrets = [
        value for values in (one, other) for name, value in values.items() if not name.endswith(("PORT", "NAME"))
    ]
    assert len(set(secrets)) == len(secrets)
    assert all(len(secret) >= 43 for secret in secrets)


def test_takes_another_port_when_the_preferred_one_is_taken():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        taken = listener.getsockname()[1]
        assert make_env().free_port(taken, set()) != taken
