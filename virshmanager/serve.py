"""`python -m virshmanager.serve [--demo]`: the whole server in the foreground, until Ctrl-C or SIGTERM.

Exits with 0 after a clean stop, 1 when a part failed, 2 when a setting or the machine forbids the start.
"""

import argparse
import asyncio
import contextlib
import http.client
import ipaddress
import logging
import os
import shutil
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connection
from redis import Redis
from redis.exceptions import RedisError

from hosts.trust.unreadable import keep_unreadable
from virshmanager import signing
from virshmanager.demo import claimed_port, play
from virshmanager.state import InUse, sole_user
from virshmanager.supervisor import (
    ChildError,
    Command,
    StartError,
    Supervisor,
    manage,
    python,
    reachable,
    say,
)

READY_DEADLINE = 60.0
# sun_path of sockaddr_un, less its closing zero (unix(7)).
SOCKET_PATH_LIMIT = 107


def redis(home: Path) -> Command:
    """A Redis of our own: on a socket in the state folder, and forgetful, for nothing in it must last."""
    address = ("--port", "0", "--unixsocket", str(home / "redis.sock"), "--unixsocketperm", "600")
    forgetful = ("--save", "", "--appendonly", "no")
    return Command("redis", ["redis-server", *address, "--dir", str(home), *forgetful])


def web() -> Command:
    address = ("--host", settings.VIRSHMANAGER_LISTEN, "--port", str(settings.VIRSHMANAGER_PORT))
    # Without a declared proxy nobody is believed who says for whom he asks.
    believed = ("--proxy-headers", "--forwarded-allow-ips", ",".join(settings.VIRSHMANAGER_PROXY))
    proxy = believed if settings.TLS_IN_FRONT else ("--no-proxy-headers",)
    habits = ("--no-server-header", "--no-access-log", "--lifespan", "off")
    # This protocol waits until a reader has taken what was sent. Deflate would hide a console's flood in a
    # few bytes, for the reader to unpack; screens are compressed already.
    sockets = ("--ws", "websockets-sansio", "--ws-max-size", "65536", "--ws-per-message-deflate", "false")
    stop = ("--timeout-graceful-shutdown", "3")
    return python(
        "web", "-m", "uvicorn", "virshmanager.asgi:application", *address, *proxy, *habits, *sockets, *stop
    )


def worker() -> Command:
    """The Celery worker: SIGTERM lets running tasks end, SIGQUIT does not wait for them."""
    quiet = ("--loglevel", "INFO", "--without-gossip", "--without-mingle")
    arguments = [sys.executable, "-m", "celery", "-A", "virshmanager", "worker", *quiet]
    return Command("worker", arguments, stop_signals=(signal.SIGTERM, signal.SIGQUIT))


def beat() -> Command:
    return python("beat", "-m", "celery", "-A", "virshmanager", "beat", "--loglevel", "INFO", "--pidfile=")


def watcher() -> Command:
    return manage("watcher", "watch")


def local_address() -> str:
    """Where the server is reached from this machine, also when it listens everywhere."""
    listen = ipaddress.ip_address(settings.VIRSHMANAGER_LISTEN)
    if listen.is_unspecified:
        return "127.0.0.1" if listen.version == 4 else "::1"  # noqa: PLR2004 - IP's own number
    return str(listen)


def require_free_port() -> None:
    host, port = settings.VIRSHMANAGER_LISTEN, settings.VIRSHMANAGER_PORT
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen()
        except OSError as error:
            raise StartError(
                f"Cannot listen on {host} port {port}: {error.strerror}. "
                "Choose another with VIRSHMANAGER_PORT or VIRSHMANAGER_LISTEN."
            ) from None


def require_redis() -> None:
    if shutil.which("redis-server") is None:
        raise StartError("redis-server is not installed: run script/bootstrap, or set REDIS_URL.")


def require_short(home: Path) -> None:
    if len(os.fsencode(home / "signer.sock")) > SOCKET_PATH_LIMIT:
        raise StartError(f"The path of the state folder {home} is too long for a Unix socket in it.")


def require_database() -> None:
    try:
        connection.ensure_connection()
    except DatabaseError as error:
        reason = str(error).splitlines()[0]
        raise StartError(f"The database does not answer: {reason}. See DATABASE_URL.") from None
    finally:
        connection.close()


def require_redis_of_theirs() -> None:
    try:
        with Redis.from_url(settings.REDIS_URL, **settings.REDIS_TIMEOUTS) as client:
            client.ping()
    except (RedisError, ValueError) as error:
        raise StartError(f"The Redis of REDIS_URL does not answer: {error}.") from None


async def answering(host: str, port: int) -> None:
    """Return when /healthz answers 200; raise ChildError after the deadline."""

    def healthy() -> bool:
        connection = http.client.HTTPConnection(host, port, timeout=2)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    try:
        async with asyncio.timeout(READY_DEADLINE):
            while not await asyncio.to_thread(healthy):
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise ChildError(f"web did not answer on {host} port {port} within {READY_DEADLINE:.0f} s.") from None


async def prepare_users(supervisor: Supervisor, password: str) -> list[str]:
    """Make `admin` if a password was given; return the lines of the setup link while nobody can log in."""
    if password:
        secret = {"VIRSHMANAGER_ADMIN_PASSWORD": password}
        await supervisor.run_once(manage("ensure_admin", "ensure_admin"), environment=secret)
    link = replace(manage("setup_link", "setup_link", "--if-needed"), private=True)
    return await supervisor.run_once(link)


async def bring_up(supervisor: Supervisor, home: Path, *, password: str, demo_port: int | None) -> None:
    """Start all parts in order, and tell the person where to go."""
    await asyncio.to_thread(require_database)
    if os.environ.get("REDIS_URL"):
        await asyncio.to_thread(require_redis_of_theirs)
    else:
        supervisor.start(redis(home))
        await reachable("redis", partial(asyncio.open_unix_connection, home / "redis.sock"))
    await supervisor.run_once(manage("migrate", "migrate", "--noinput", "--verbosity", "1"))
    if signing.is_ours():
        signing.start_signer(supervisor, home)
    for command in (web(), worker(), beat(), watcher()):
        supervisor.start(command)
    await signing.signer_answers()
    link = await prepare_users(supervisor, password)
    await answering(local_address(), settings.VIRSHMANAGER_PORT)
    if demo_port:
        await play(supervisor, home, demo_port)
    say(f"\nVirshManager is ready: {settings.PUBLIC_URL}/")
    for line in link:
        say(f"Make the first user here, once: {line}")
    say(f"State and logs: {home}\nCtrl-C stops it.")


def children_environment(home: Path) -> Mapping[str, str]:
    """What children inherit: not the password, which one command alone needs, and not the master key."""
    secret = {"VIRSHMANAGER_ADMIN_PASSWORD", *signing.MASTER_KEY}
    kept = {name: value for name, value in os.environ.items() if name not in secret}
    return {**kept, "VIRSHMANAGER_HOME": str(home), "PYTHONUNBUFFERED": "1"}


async def serve(home: Path, *, demo_port: int | None) -> None:
    """Run until a signal asks to stop; raise ChildError if a part cannot be kept alive."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    log_folder = home / "log"
    log_folder.mkdir(mode=0o700, exist_ok=True)
    password = settings.VIRSHMANAGER_ADMIN_PASSWORD
    async with Supervisor(log_folder=log_folder, environment=children_environment(home)) as supervisor:
        asked = asyncio.create_task(stop.wait())
        up = asyncio.create_task(bring_up(supervisor, home, password=password, demo_port=demo_port))
        ends: list[asyncio.Future[Any]] = [asked, supervisor.failed]
        try:
            await asyncio.wait([up, *ends], return_when=asyncio.FIRST_COMPLETED)
            if up.done():
                up.result()
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if supervisor.failed.done():
                supervisor.failed.result()
            say("\nStopping.")
        finally:
            asked.cancel()
            up.cancel()
            await asyncio.gather(asked, up, return_exceptions=True)


def run(home: Path, *, demo: bool) -> None:
    """Look whether the machine lets the server start, and serve. Raises InUse, StartError, ChildError."""
    with sole_user(home):
        require_free_port()
        require_short(home)
        if not os.environ.get("REDIS_URL"):
            require_redis()
        if signing.is_ours():
            signing.require_key(home, children_environment(home))
        with claimed_port() if demo else contextlib.nullcontext() as demo_port:
            asyncio.run(serve(home, demo_port=demo_port))


def main() -> int:
    parser = argparse.ArgumentParser(prog="script/server", description="Run VirshManager in the foreground.")
    parser.add_argument("--demo", action="store_true", help="with a simulated network on 127.0.77.0/28")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "virshmanager.settings")
    # A full disk must not turn each line of a log into a traceback on the terminal.
    logging.raiseExceptions = False
    # The master key may be in our environment.
    keep_unreadable()
    # Database and logs are private also in a folder that others may enter.
    os.umask(0o077)
    try:
        run(settings.VIRSHMANAGER_HOME, demo=options.demo)
    except InUse:
        home = settings.VIRSHMANAGER_HOME
        return _give_up(f"Another VirshManager runs in {home}: set VIRSHMANAGER_HOME to another.", 2)
    except (ImproperlyConfigured, StartError) as mistake:
        return _give_up(str(mistake), 2)
    except ChildError as failure:
        return _give_up(str(failure), 1)
    say("Stopped.")
    return 0


def _give_up(why: str, status: int) -> int:
    sys.stderr.write(f"virshmanager: {why}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
