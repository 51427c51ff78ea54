"""When the environment is made again, and what is said when it cannot be."""

import shutil
import subprocess
import sys

import pytest
from rappit_devstack import state


@pytest.fixture
def clone(tmp_path):
    for member in ("libs/one", "services/one", "cli", "tools/one"):
        (tmp_path / member).mkdir(parents=True)
        (tmp_path / member / "pyproject.toml").write_text(f'[project]\nname = "{member}"\n')
    (tmp_path / "requirements.lock").write_text("")
    shutil.copy(state.PROJECT / "tools/bootstrap", tmp_path / "tools/bootstrap")
    return tmp_path


def _bootstrap(clone, *words, python=sys.executable):
    return subprocess.run(
        [clone / "tools/bootstrap", *words],
        env={"PATH": "/usr/bin:/bin", "PYTHON": python},
        capture_output=True,
        text=True,
        check=False,
    )


def _fingerprint(clone):
    return _bootstrap(clone, "--fingerprint").stdout


def test_does_nothing_when_nothing_changed(clone):
    (clone / ".venv").mkdir()
    (clone / ".venv/.rappit-stamp").write_text(_fingerprint(clone))
    done = _bootstrap(clone)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (clone / ".rappit").exists()


@pytest.mark.parametrize(
    "changed", ["requirements.lock", "services/one/pyproject.toml", "tools/one/pyproject.toml", "tools/bootstrap"]
)
def test_a_change_of_what_it_is_made_of_is_noticed(clone, changed):
    before = _fingerprint(clone)
    with (clone / changed).open("a") as file:
        file.write("# changed\n")
    assert _fingerprint(clone) not in {before, ""}


def test_a_moved_clone_is_noticed(clone):
    before = _fingerprint(clone)
    moved = clone.rename(clone.with_name("moved"))
    assert _fingerprint(moved) not in {before, ""}


def test_an_unfit_python_is_a_sentence(clone):
    done = _bootstrap(clone, python="/bin/false")
    assert done.returncode == 1
    assert done.stderr == "bootstrap: PYTHON=/bin/false is not a Python 3.11 or later.\n"
