"""A private RabbitMQ with its management plugin, its own Erlang runtime and its own port mapper."""

import base64
import contextlib
import json
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from rappit_devstack import ports, processes
from rappit_devstack.errors import DevstackError
from rappit_devstack.ports import LOOPBACK
from rappit_devstack.processes import ProcessRecord
from rappit_devstack.server import PrivateServer

USER = "rappit"
NODE = "rappit@localhost"
REQUEST_TIMEOUT_S = 5.0


class RabbitMQ(PrivateServer):
    """One node; its name stays the same when its ports change, because its data folder carries the name."""

    name = "rabbitmq"
    # The management plugin's own shutdown takes about 6 s.
    stop_timeout_s = 30.0
    start_timeout_s = 90.0

    def url(self) -> str:
        """The administrator's AMQP URL of the default vhost."""
        return f"amqp://{self._login()}@{LOOPBACK}:{self.port('rabbitmq')}/%2F"

    def management_url(self) -> str:
        """The administrator's URL of the management API, without a path."""
        return f"http://{self._login()}@{LOOPBACK}:{self.port('rabbitmq_management')}"

    def _login(self) -> str:
        return f"{USER}:{quote(self._password(), safe='')}"

    def _password(self) -> str:
        return self.place.secrets.password("RABBITMQ_PASSWORD")

    def environment(self) -> dict[str, str]:
        """What Debian's scripts need to run outside their own places."""
        inherited = super().environment()
        state = self.place.state
        loopback_only = "-kernel inet_dist_use_interface {127,0,0,1}"
        return {
            **inherited,
            "PATH": f"{self.folder / 'bin'}:{inherited.get('PATH', '/usr/bin:/bin')}",
            "HOME": str(self.folder),
            "ERL_EPMD_PORT": str(state.known_port("epmd")),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "RABBITMQ_NODENAME": NODE,
            "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
            "RABBITMQ_NODE_PORT": str(state.known_port("rabbitmq")),
            "RABBITMQ_DIST_PORT": str(state.known_port("rabbitmq_dist")),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "env.conf"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_LOG": "-color",
            "RABBITMQ_PID_FILE": str(self.folder / "rabbitmq.pid"),
            # A small machine shared with everything else: idle schedulers need not spin.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{loopback_only} +S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none",
            "RABBITMQ_CTL_ERL_ARGS": loopback_only,
        }

    def prepare(self) -> list[str]:
        """Write the configuration, start this node's port mapper, and return the server's command."""
        state = self.place.state
        node_port, management = state.port("rabbitmq"), state.port("rabbitmq_management")
        state.port("rabbitmq_dist")
        self._write_shim()
        (self.folder / "env.conf").write_text("")
        (self.folder / "enabled_plugins").write_text("[rabbitmq_management].\n")
        config = self.folder / "rabbitmq.conf"
        config.touch(mode=0o600)
        config.write_text(
            f"""\
listeners.tcp.1 = {LOOPBACK}:{node_port}
management.tcp.ip = {LOOPBACK}
management.tcp.port = {management}
default_user = {USER}
default_pass = {self._password()}
disk_free_limit.absolute = 50MB
log.console = true
log.console.level = info
log.file = false
# Unneeded detail in the management plugin's statistics costs CPU that the services want.
collect_statistics_interval = 5000
"""
        )
        self._write_cookie()
        self._start_port_mapper(state.port("epmd"))
        return [self.programs["server"]]

    def is_ready(self) -> bool:
        """Whether the node that takes our password is ours and listens for AMQP."""
        try:
            node = self._get("/api/overview")["node"]
            listening = self._get(f"/api/health/checks/port-listener/{self.port('rabbitmq')}")["status"] == "ok"
        except (OSError, ValueError, KeyError):
            return False
        return node == NODE and listening and ports.answers(self.port("rabbitmq"))

    def after_stop(self) -> None:
        """End the node's port mapper, which is a daemon of its own."""
        mapper = ProcessRecord.load(self._mapper_record)
        if mapper is not None:
            processes.kill(mapper)
            self._mapper_record.unlink()

    @property
    def _mapper_record(self) -> Path:
        return self.folder / "epmd.json"

    def _start_port_mapper(self, port: int) -> None:
        # In the foreground and known by pid: the one that Erlang starts by itself would outlive everything.
        mapper = processes.spawn(
            [self.programs["epmd"], "-address", LOOPBACK, "-port", str(port)],
            log=self.log,
            record=self._mapper_record,
            env=super().environment(),
            cwd=self.folder,
        )
        if (
            not processes.wait_until(lambda: ports.answers(port) or not mapper.alive(), timeout_s=10)
            or not mapper.alive()
        ):
            raise DevstackError(f"Erlang's port mapper did not come up on port {port}; its log is {self.log}.")

    def _write_shim(self) -> None:
        """Put an `erl` first in PATH that knows where Erlang is: Debian's has its root built in."""
        shim = self.folder / "bin" / "erl"
        shim.parent.mkdir(exist_ok=True)
        shim.write_text(
            f"""\
#!/bin/sh
ROOTDIR='{self.programs["erlang"]}' BINDIR='{self.programs["runtime"]}' EMU=beam PROGNAME=erl
export ROOTDIR BINDIR EMU PROGNAME
exec '{self.programs["erlexec"]}' "$@"
"""
        )
        shim.chmod(0o755)

    def _write_cookie(self) -> None:
        cookie = self.folder / ".erlang.cookie"
        if not cookie.exists():
            cookie.touch(mode=0o600)
            cookie.write_text(self.place.secrets.password("ERLANG_COOKIE"))
            cookie.chmod(0o400)

    def _get(self, path: str) -> dict[str, str]:
        return management_request("GET", self.management_url(), path)


def management_request(method: str, base_url: str, path: str, body: object = None) -> Any:
    """Call RabbitMQ's management API.

    Args:
        method: The HTTP method.
        base_url: `http://user:password@host:port`.
        path: Begins with `/api`.
        body: Sent as JSON; nothing when None.

    Raises:
        OSError: It does not answer, or refuses (urllib.error.HTTPError is an OSError).
    """
    scheme, _, rest = base_url.partition("://")
    login, _, host = rest.rpartition("@")
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{scheme}://{host.rstrip('/')}{path}", data=data, method=method)  # noqa: S310 - a server of ours
    request.add_header("Authorization", "Basic " + base64.b64encode(unquote(login).encode()).decode())
    request.add_header("Content-Type", "application/json")
    # No proxy: these are loopback addresses, whatever the machine's http_proxy says.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with contextlib.closing(opener.open(request, timeout=REQUEST_TIMEOUT_S)) as response:
        text = response.read()
    return json.loads(text) if text else None
