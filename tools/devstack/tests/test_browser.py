"""Where the browser of the browser tests comes from, and what is said where there is none."""

from types import SimpleNamespace

import pytest
from rappit_devstack import browser, debian, state
from rappit_devstack.errors import DevstackError

RENDERS = 'echo "<html><head></head><body><p>rendered</p></body></html>"'
STUB = 'echo "Command chromium-browser requires the chromium snap to be installed." >&2; exit 1'


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with the browsers it is told of in PATH, and a project of its own."""
    monkeypatch.setattr(state, "PROJECT", tmp_path / "project")
    folder = tmp_path / "bin"
    folder.mkdir()

    def have(name, script):
        program = folder / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return program

    have.environment = {"PATH": str(folder)}
    return have


@pytest.fixture
def said():
    return []


@pytest.fixture
def packages(monkeypatch):
    """Debian's packages, without the network: what is asked for, and what extracting them puts in the folder."""
    monkeypatch.setattr(browser, "is_debian", lambda _path: True)
    monkeypatch.setattr(browser.shutil, "which", lambda _name, path=None: "/usr/bin/apt-get" if path is None else None)
    fetched = []

    def fetch(names, root, *, without):
        fetched.append(names)
        if names != browser.PACKAGES:
            return
        program = root / browser.PROGRAM
        program.parent.mkdir(parents=True)
        program.write_text(f'#!/bin/sh\ncase "$LD_LIBRARY_PATH" in *private*) {RENDERS};; esac\n')
        program.chmod(0o755)
        library = root / "usr/lib/x86_64-linux-gnu/private/libprivate-1.so"
        library.parent.mkdir(parents=True)
        library.touch()

    monkeypatch.setattr(debian, "fetch", fetch)
    return fetched


def test_the_given_browser_comes_first(machine, said):
    machine("chromium", RENDERS)
    given = machine("mine", RENDERS)
    found = browser.ensure(say=said.append, environment={**machine.environment, "RAPPIT_CHROMIUM": str(given)})
    assert found.environment() == {"RAPPIT_CHROMIUM": str(given)}


def test_a_given_browser_that_does_not_work_is_an_error_and_not_replaced(machine, said):
    machine("chromium", RENDERS)
    given = machine("mine", "exit 3")
    with pytest.raises(DevstackError, match="does not work as a browser: status 3"):
        browser.ensure(say=said.append, environment={**machine.environment, "RAPPIT_CHROMIUM": str(given)})


def test_a_stub_in_path_is_passed_over(machine, said):
    machine("chromium", STUB)
    chrome = machine("google-chrome", RENDERS)
    assert browser.ensure(say=said.append, environment=machine.environment).path == chrome
    assert said == []


def test_a_machine_that_has_none_is_given_one_that_is_fetched_once(machine, packages, said):
    first = browser.ensure(say=said.append, environment=machine.environment)
    again = browser.ensure(say=said.append, environment=machine.environment)
    assert first == again
    assert first.path == browser.folder() / "chromium"
    assert packages == [browser.PACKAGES]
    assert len(said) == 1


def test_without_a_network_the_reason_is_one_sentence_for_the_skipped_tests(machine, packages, said, monkeypatch):
    def offline(_names, _root, *, without):
        raise DevstackError("The packages could not be downloaded. Check the network.\n    Err:1 …\n    E: …")

    monkeypatch.setattr(debian, "fetch", offline)
    found = browser.ensure(say=said.append, environment=machine.environment)
    reason = (
        "this machine lacks Chromium, and it could not be fetched: "
        "The packages could not be downloaded. Check the network."
    )
    assert found.environment() == {"RAPPIT_CHROMIUM": "", "RAPPIT_NO_CHROMIUM": reason}
    assert said[-1] == f"the browser tests will be skipped: {reason}"


def test_on_another_distribution_nothing_is_fetched(machine, packages, said, monkeypatch):
    monkeypatch.setattr(browser, "is_debian", lambda _path: False)
    found = browser.ensure(say=said.append, environment=machine.environment)
    assert found.path is None
    assert "install Chromium or Chrome, or set RAPPIT_CHROMIUM" in found.reason
    assert packages == []


@pytest.fixture
def playwright(tmp_path, monkeypatch):
    """A Playwright whose Node is a script."""

    def have(script):
        node = tmp_path / "playwright/driver/node"
        node.parent.mkdir(parents=True)
        node.write_text(f"#!/bin/sh\n{script}\n")
        node.chmod(0o755)
        origin = SimpleNamespace(origin=str(tmp_path / "playwright/__init__.py"))
        monkeypatch.setattr(browser.importlib.util, "find_spec", lambda _name: origin)

    return have


def test_a_driver_that_lacks_a_library_is_started_with_it(machine, packages, playwright, said):
    playwright('[ -n "$LD_LIBRARY_PATH" ] && echo v24.1.0')
    found = browser.ensure(say=said.append, environment=machine.environment)
    assert found.environment()["PLAYWRIGHT_NODEJS_PATH"] == str(browser.folder() / "node")
    assert packages == [browser.PACKAGES, browser.DRIVER_PACKAGES]
    assert browser.ensure(say=said.append, environment=machine.environment) == found
    assert len(packages) == 2


def test_a_driver_that_cannot_be_helped_is_the_reason_why_tests_are_skipped(machine, packages, playwright, said):
    playwright('echo "GLIBC_9.9 not found" >&2; exit 1')
    found = browser.ensure(say=said.append, environment=machine.environment)
    assert found.environment()["RAPPIT_CHROMIUM"] == ""
    assert "GLIBC_9.9 not found" in found.reason


@pytest.mark.parametrize(
    ("os_release", "expected"),
    [
        ("ID=debian\n", True),
        ('ID=raspbian\nID_LIKE="debian"\n', True),
        ("ID=ubuntu\nID_LIKE=debian\n", False),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', False),
        ("ID=fedora\n", False),
        (None, False),
    ],
)
def test_debians_packages_are_for_debian_and_its_kin(tmp_path, os_release, expected):
    path = tmp_path / "os-release"
    if os_release is not None:
        path.write_text(os_release)
    assert browser.is_debian(path) is expected
