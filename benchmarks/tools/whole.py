"""The whole server with a simulated fleet: its processes, its API and what Channels tells."""

import http.client
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.browser.site import PASSWORD
from tests.virshmanager.serving import free_port, lines_until

from . import watch
from .server import PYTHON, Server

# What the processes of the server are called, and how each is told from the others.
PARTS = {
    "web": "uvicorn virshmanager.asgi",
    "watcher": "manage.py watch",
    # Celery gives its process another title where setproctitle is installed.
    "worker": "-A virshmanager worker",
}
STOP_SECONDS = 20


@dataclass
class Whole:
    """A server that runs. `ask` uses one connection that is kept, as a browser and a program do."""

    server: Server
    process: "subprocess.Popen[str]"
    port: int
    token: str
    cookie: str

    def pid(self, part: str) -> int:
        """The process of one part. Raises LookupError when there is none now."""
        for pid in watch.descendants(self.process.pid):
            if PARTS[part] in command_of(pid):
                return pid
        raise LookupError(f"the {part} does not run")

    def resident(self, part: str) -> float:
        """Its resident memory, in MB."""
        return watch.memory(self.pid(part))["VmRSS"] / watch.MEBIBYTE

    def timed(self, path: str, times: int) -> list[float]:
        """The seconds of each of so many GETs of a path, API or page, read to the end."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            return [self._get(connection, path) for _ in range(times)]

    def _get(self, connection: http.client.HTTPConnection, path: str) -> float:
        headers = {"Authorization": f"Token {self.token}"} if path.startswith("/api/") else {}
        begun = time.perf_counter()
        connection.request("GET", path, headers=headers | {"Cookie": self.cookie})
        answer = connection.getresponse()
        answer.read()
        seconds = time.perf_counter() - begun
        if answer.status != http.client.OK:
            raise RuntimeError(f"{path}: {answer.status}")
        return seconds


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""


@contextmanager
def whole(server: Server) -> Iterator[Whole]:
    """Start everything on the state of a server, and stop it at the end."""
    port = free_port()
    variables = {"VIRSHMANAGER_PORT": str(port), "VIRSHMANAGER_ADMIN_PASSWORD": PASSWORD}
    environment = server.environment | variables
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            [PYTHON, "-m", "virshmanager.serve"],
            cwd=watch.PROJECT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        try:
            lines_until(process, "Ctrl-C stops it")
            token = server.manage("api_token", "admin", "--scope", "administer").output.strip()
            yield Whole(server, process, port, token, sign_in(port))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(STOP_SECONDS)


def sign_in(port: int) -> str:
    """Sign in as a browser does; return the cookie of the session."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("GET", "/account/login/")
        form = connection.getresponse()
        page, csrf = form.read().decode(), cookie_of(form, "csrf")
        (token,) = re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)[:1]
        fields = f"csrfmiddlewaretoken={token}&login=admin&password={PASSWORD}"
        headers = {"Cookie": csrf, "Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", "/account/login/", fields, headers)
        answer = connection.getresponse()
        answer.read()
        return cookie_of(answer, "session")


def cookie_of(answer: http.client.HTTPResponse, kind: str) -> str:
    for header in answer.headers.get_all("Set-Cookie", []):
        name_and_value = header.partition(";")[0]
        if name_and_value.partition("=")[0].endswith(kind):
            return name_and_value
    raise RuntimeError(f"no {kind} cookie")


def wait_until(condition: Callable[[], bool], what: str, seconds: float) -> float:
    """Wait for a condition; return the seconds that it took. Raises TimeoutError."""
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > seconds:
            raise TimeoutError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.1)
    return time.monotonic() - begun


@contextmanager
def ear(server: Server) -> Iterator["subprocess.Popen[str]"]:
    """Somebody who hears what the pages of the fleet hear."""
    with subprocess.Popen(
        [PYTHON, "-m", "benchmarks.tools.ear"],
        cwd=watch.PROJECT,
        env=server.environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            lines_until(process, "listening")
            yield process
        finally:
            process.terminate()
