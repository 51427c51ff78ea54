"""The command `rappit-devstack`."""

import argparse
import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.table import Table

from rappit_devstack import browser, state
from rappit_devstack.errors import DevstackError
from rappit_devstack.servers import CLASSES, Servers
from rappit_devstack.stack import Stack

DEFAULT_STACK = "demo"
TEST_FOLDER = "test"
INGRESS_PORT = 8080
LOG_LINES = 40


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; an anticipated failure is a sentence on stderr and status 1."""
    arguments = _parser().parse_args(argv)
    act: Callable[[argparse.Namespace], int] = arguments.act
    try:
        return act(arguments)
    except DevstackError as error:
        print(f"rappit-devstack: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print(
            f"rappit-devstack: the disk is full ({error.filename or state.home()}): free some space.", file=sys.stderr
        )
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "rappit-devstack", description="A private stack of real servers and every service."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, act: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(act=act)
        added.add_argument(
            "--stack", default=DEFAULT_STACK, metavar="NAME", type=_stack_name, help="default: %(default)s"
        )
        return added

    command("up", _up, "start everything that does not run")
    command("down", _down, "stop services, then servers; data stays")
    ps = command("ps", _ps, "show what runs")
    ps.add_argument("--json", action="store_true", help="addresses and logins as JSON, for programs")
    logs = command("logs", _logs, "follow the logs")
    logs.add_argument("names", nargs="*", help="processes or servers; all when none is named")
    logs.add_argument("--no-follow", action="store_true", help="show the last lines and end")
    restart = command("restart", _restart, "restart processes, after a change of code say")
    restart.add_argument("names", nargs="*", help="all when none is named")
    command("clean", _clean, "stop a stack and remove its data")
    up_servers = command("servers", _servers, "start only the servers and print their URLs as shell exports")
    up_servers.add_argument(
        "--unsafe", action="store_true", help="without fsync: quicker, and a power cut may lose data"
    )
    run = command("run", _run, "run a command with private servers of its own")
    run.add_argument(
        "--durable", action="store_true", help="servers that do as in production, with fsync: slower, for measuring"
    )
    run.add_argument(
        "--browser", action="store_true", help="with a Chromium too, or the reason why there is none, for browser tests"
    )
    run.add_argument("words", nargs=argparse.REMAINDER, metavar="-- CMD", help="the command and its arguments")
    return parser


def _stack_name(text: str) -> str:
    if not text.replace("-", "").replace("_", "").isalnum() or text in {"servers", "bootstrap"}:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a name of letters, digits, - and _ (servers and bootstrap are taken)"
        )
    return text


def _say(line: str) -> None:
    print(f"  {line}", flush=True)


def _stack(arguments: argparse.Namespace) -> Stack:
    preferred = INGRESS_PORT if arguments.stack == DEFAULT_STACK else None
    return Stack(state.home() / arguments.stack, ingress_port=preferred, say=_say)


def _up(arguments: argparse.Namespace) -> int:
    stack, begun = _stack(arguments), time.monotonic()
    stack.up()
    print(f"The stack {arguments.stack} is up after {time.monotonic() - begun:.1f} s.")
    print(f"  ingress and console  {stack.ingress_url}")
    print(f"  operator             {stack.operator_email}  {stack.operator_password}")
    print(f"  carrier double       {stack.carrier_double_url}")
    print(f"  channel double       {stack.channel_double_url}")
    print(f"  RabbitMQ management  {stack.urls.rabbitmq_management}")
    print(f"  PostgreSQL           {stack.premises.admin_database_url}")
    print(f"  logs                 {stack.folder / 'logs'}")
    return 0


def _down(arguments: argparse.Namespace) -> int:
    if (state.home() / arguments.stack).exists():
        _stack(arguments).down()
    print(f"The stack {arguments.stack} is down; its data stays until `make clean`.")
    return 0


def _clean(arguments: argparse.Namespace) -> int:
    _stack(arguments).destroy()
    print(f"The stack {arguments.stack} and its data are gone.")
    return 0


def _restart(arguments: argparse.Namespace) -> int:
    _stack(arguments).restart(*arguments.names)
    return 0


def _ps(arguments: argparse.Namespace) -> int:
    stack = _stack(arguments)
    statuses = stack.statuses()
    if arguments.json:
        print(json.dumps(_facts(stack), indent=2))
        return 0
    table = Table("process", "state", "pid", "port", "since")
    known: dict[str, int] = dict(state.State(stack.folder / "stack.json").get("ports") or {})
    for name in CLASSES:
        pid = stack.servers.pid(name)
        table.add_row(name, "RUNNING" if pid else "not ours or down", str(pid or ""), str(known.get(name, "")), "")
    for status in statuses.values():
        since = status.description.rpartition("uptime ")[2] if "uptime" in status.description else status.description
        table.add_row(status.name, status.state, str(status.pid or ""), str(known.get(status.name, "")), since)
    Console().print(table)
    if not statuses:
        print(f"The services of the stack {arguments.stack} are down: `make up` starts them.")
    return 0


def _facts(stack: Stack) -> dict[str, object]:
    return {
        "folder": str(stack.folder),
        "ingress_url": stack.ingress_url,
        "carrier_double_url": stack.carrier_double_url,
        "channel_double_url": stack.channel_double_url,
        "operator_email": stack.operator_email,
        "operator_password": stack.operator_password,
        "database_url": stack.premises.admin_database_url,
        "rabbitmq_management_url": stack.urls.rabbitmq_management,
        "running": bool(stack.statuses()),
    }


def _logs(arguments: argparse.Namespace) -> int:
    folder = state.home() / arguments.stack / "logs"
    chosen = [folder / f"{name}.log" for name in arguments.names] or sorted(folder.glob("*.log"))
    missing = [path.stem for path in chosen if not path.exists()]
    if missing or not chosen:
        raise DevstackError(f"There is no log of {', '.join(missing) or 'anything'} in {folder}: it has not run yet.")
    follow = [] if arguments.no_follow else ["-F"]
    return subprocess.run(["tail", "-n", str(LOG_LINES), *follow, *map(str, chosen)], check=False).returncode


def _servers(arguments: argparse.Namespace) -> int:
    servers = Servers(state.home() / arguments.stack, durable=not arguments.unsafe, say=_say_to_stderr)
    for variable, url in servers.start().environment().items():
        print(f"export {variable}='{url}'")
    return 0


def _say_to_stderr(line: str) -> None:
    print(f"  {line}", file=sys.stderr, flush=True)


def _run(arguments: argparse.Namespace) -> int:
    words = arguments.words[1:] if arguments.words[:1] == ["--"] else arguments.words
    if not words:
        raise DevstackError("Say what to run: rappit-devstack run -- COMMAND…")
    folder = state.home() / (TEST_FOLDER if arguments.stack == DEFAULT_STACK else arguments.stack)
    # One run at a time: the servers are stopped at its end, which another run would not survive.
    with state.locked(folder / ".run.lock", wait_s=0, reason="another `rappit-devstack run` is using it"):
        servers = Servers(folder, durable=arguments.durable, say=_say_to_stderr)
        with _ending_on_signals():
            try:
                found = browser.ensure(say=_say_to_stderr).environment() if arguments.browser else {}
                return _command(words, {**os.environ, **servers.start().environment(), **found})
            finally:
                _say_to_stderr("stopping the private servers")
                servers.kill()


class _EndedError(BaseException):
    """A signal asked us to end; BaseException, so that nothing on the way takes it for a failure."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def _ending_on_signals() -> Generator[None]:
    """Turn SIGTERM and SIGHUP into an exception, so that the servers are stopped and not left alone."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise _EndedError(number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    except _EndedError as ended:
        raise SystemExit(128 + ended.number) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _command(words: Sequence[str], environment: dict[str, str]) -> int:
    """Run the command, pass on what ends us, and return its exit status as a shell would."""
    beside = Path(sys.executable).parent / words[0]
    argv = [str(beside) if "/" not in words[0] and beside.exists() else words[0], *words[1:]]
    try:
        child = subprocess.Popen(argv, env=environment)
    except OSError as error:
        raise DevstackError(f"{words[0]} could not be started: {error.strerror}.") from error
    interrupted = False
    while True:
        try:
            status = child.wait()
        except KeyboardInterrupt:
            # The terminal sent it to the child too, which reports in its own way.
            interrupted = True
            continue
        except _EndedError as ended:
            child.send_signal(ended.number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=20)
            child.kill()
            child.wait()
            raise
        if interrupted and status == 0:
            # An interrupt between the child's end and its being read leaves 0 for a status nobody knows any more.
            return 128 + signal.SIGINT
        return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
