"""Supervised processes: started together, restarted when they die, logged with rotation.

The supervising itself is supervisord's; this module writes its configuration, starts it and asks it things.
"""

import contextlib
import http.client
import os
import shlex
import signal
import sys
import xmlrpc.client
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from rappit_devstack import processes
from rappit_devstack.errors import DevstackError
from rappit_devstack.ports import LOOPBACK
from rappit_devstack.processes import ProcessRecord
from rappit_devstack.server import base_environment
from rappit_devstack.state import Secrets, State, write_private

MARKER = "RAPPIT_SUPERVISED_IN"
STOP_WAIT_S = 20
CALL_TIMEOUT_S = 60
# With a second more between each, 20 tries are three and a half minutes: longer than any server's restart.
START_RETRIES = 20
EXIT_CONFIGURATION = 78


@dataclass(frozen=True)
class Program:
    """One process to keep running."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    stop_signal: str = "TERM"


@dataclass(frozen=True)
class Status:
    """What supervisord says of one process; pid is 0 while it does not run."""

    name: str
    state: str
    pid: int
    exit_status: int
    description: str

    @property
    def hopeless(self) -> bool:
        """Whether it will not come up by being tried again."""
        return self.state == "FATAL" or (self.state in {"BACKOFF", "EXITED"} and self.exit_status == EXIT_CONFIGURATION)


class _Transport(xmlrpc.client.Transport):
    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = super().make_connection(host)
        connection.timeout = CALL_TIMEOUT_S
        return connection


class Supervisor:
    """supervisord of one stack."""

    def __init__(self, folder: Path, state: State, secrets: Secrets) -> None:
        self.folder = folder
        self._state = state
        self._secrets = secrets
        self._record = folder / "supervisord.json"
        self._config = folder / "supervisord.conf"

    def log(self, name: str) -> Path:
        """The log of one process."""
        return self.folder / "logs" / f"{name}.log"

    def process(self) -> ProcessRecord | None:
        """Supervisord's own process, when it runs."""
        process = ProcessRecord.load(self._record)
        return process if process is not None and process.alive() else None

    def runs(self, programs: Sequence[Program]) -> bool:
        """Whether supervisord runs with exactly these programs and environments."""
        if self.process() is None:
            return False
        port = self._state.known_port("supervisord")
        if port is None or not self._config.exists() or self._config.read_text() != self._configuration(programs, port):
            return False
        return all(self._script(p).exists() and self._script(p).read_text() == _script(p) for p in programs)

    def start(self, programs: Sequence[Program]) -> None:
        """Start supervisord and with it the programs; whatever an earlier one left behind is ended first.

        Raises:
            DevstackError: supervisord does not come up.
        """
        self.stop()
        for program in programs:
            write_private(self._script(program), _script(program))
        port = self._state.port("supervisord")
        write_private(self._config, self._configuration(programs, port))
        log = self.log("supervisord")
        process = processes.spawn(
            [sys.executable, "-m", "supervisor.supervisord", "--nodaemon", "--silent", "-c", str(self._config)],
            log=log,
            record=self._record,
            env={**base_environment(), MARKER: str(self.folder)},
            cwd=self.folder,
        )
        if (
            not processes.wait_until(lambda: self._answers() or not process.alive(), timeout_s=20)
            or not process.alive()
        ):
            raise DevstackError(f"supervisord did not come up; its log is {log} and ends:\n{processes.tail(log)}")

    def stop(self) -> None:
        """Stop the programs in good order and supervisord after them; also those a killed supervisord left alone."""
        process = self.process()
        if process is not None:
            # supervisord ends its programs at the same time, each with STOP_WAIT_S before SIGKILL.
            processes.stop(process, first=signal.SIGTERM, timeout_s=STOP_WAIT_S + 10)
        orphans = [
            *processes.marked(MARKER, str(self.folder)),
            *processes.working_in(self.folder.resolve(), command="nginx"),
        ]
        for orphan in orphans:
            with contextlib.suppress(ProcessLookupError):
                os.kill(orphan.pid, signal.SIGTERM)
        for orphan in orphans:
            processes.stop(orphan, timeout_s=STOP_WAIT_S)

    def statuses(self) -> dict[str, Status]:
        """Return every program's state; nothing when supervisord does not run."""
        if self.process() is None:
            return {}
        answer = cast("list[dict[str, Any]]", self._call("getAllProcessInfo"))
        return {
            str(info["name"]): Status(
                str(info["name"]),
                str(info["statename"]),
                int(info["pid"]),
                int(info["exitstatus"]),
                str(info["description"]),
            )
            for info in answer
        }

    def restart(self, name: str) -> None:
        """Stop one program in good order and start it again."""
        with contextlib.suppress(xmlrpc.client.Fault):
            self._call("stopProcess", name)
        self._call("startProcess", name, False)  # noqa: FBT003 - the remote call's own form: do not wait

    def start_stopped(self) -> None:
        """Start every program that was stopped or has given up."""
        for name, status in self.statuses().items():
            if status.state in {"STOPPED", "EXITED", "FATAL"}:
                self._call("startProcess", name, False)  # noqa: FBT003 - as in restart

    def halt(self, name: str) -> None:
        """Stop one program in good order and leave it stopped."""
        self._call("stopProcess", name)

    def kill(self, name: str) -> int:
        """SIGKILL one program, which is then started again; return the pid it had.

        Raises:
            DevstackError: It does not run.
        """
        status = self.statuses().get(name)
        if status is None or status.pid == 0:
            raise DevstackError(f"{name} does not run: see `rappit-devstack ps`.")
        os.killpg(status.pid, signal.SIGKILL)
        return status.pid

    def _call(self, method: str, *arguments: object) -> object:
        port = self._state.known_port("supervisord")
        login = f"rappit:{self._secrets.password('SUPERVISOR_PASSWORD')}"
        url = f"http://{login}@{LOOPBACK}:{port}/RPC2"
        with xmlrpc.client.ServerProxy(url, transport=_Transport()) as server:
            return getattr(server.supervisor, method)(*arguments)

    def _answers(self) -> bool:
        try:
            return bool(self._call("getState"))
        except (OSError, xmlrpc.client.Error, http.client.HTTPException):
            return False

    def _script(self, program: Program) -> Path:
        return self.folder / "run" / f"{program.name}.sh"

    def _configuration(self, programs: Sequence[Program], port: int) -> str:
        sections: list[tuple[str, dict[str, object]]] = [
            (
                "supervisord",
                {
                    "logfile": self.log("supervisord"),
                    "logfile_maxbytes": "5MB",
                    "logfile_backups": 1,
                    "pidfile": self.folder / "supervisord.pid",
                    "directory": self.folder,
                    "minfds": 1024,
                    # Root says so itself, or supervisord warns about it.
                    **({"user": "root"} if os.geteuid() == 0 else {}),
                },
            ),
            (
                "inet_http_server",
                {
                    # Not a Unix socket: in a deep clone its path would be longer than the 107 bytes Linux allows.
                    "port": f"{LOOPBACK}:{port}",
                    "username": "rappit",
                    "password": self._secrets.password("SUPERVISOR_PASSWORD"),
                },
            ),
            (
                "rpcinterface:supervisor",
                {"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"},
            ),
        ]
        sections += [(f"program:{program.name}", self._program(program)) for program in programs]
        blocks = (
            f"[{name}]\n" + "".join(f"{k}={_escape(v)}\n" for k, v in values.items()) for name, values in sections
        )
        return "\n".join(blocks)

    def _program(self, program: Program) -> dict[str, object]:
        return {
            "command": f'/bin/sh "{self._script(program)}"',
            "directory": self.folder,
            # A wrong setting does not mend itself; every other end, a clean exit too, is a reason to start again.
            "autorestart": "unexpected",
            "exitcodes": EXIT_CONFIGURATION,
            "startsecs": 1,
            "startretries": START_RETRIES,
            "stopsignal": program.stop_signal,
            "stopwaitsecs": STOP_WAIT_S,
            "killasgroup": "true",
            "redirect_stderr": "true",
            "stdout_logfile": self.log(program.name),
            "stdout_logfile_maxbytes": "20MB",
            "stdout_logfile_backups": 3,
        }


def _script(program: Program) -> str:
    """Return the script that runs a program: also the way to run it by hand, in a debugger say."""
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(program.environment.items()))
    return f"# Made by rappit-devstack; holds secrets.\n{exports}exec {shlex.join(program.argv)}\n"


def _escape(value: object) -> str:
    return str(value).replace("%", "%%")
