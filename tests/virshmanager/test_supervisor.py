"""The supervisor on real processes: what fails is named, what dies is started again, what must stop stops."""

import asyncio
import errno
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import psutil
import pytest

from virshmanager import supervisor as module
from virshmanager.supervisor import ChildError, Command, Supervisor

DEADLINE = 15.0


def script(name: str, code: str) -> Command:
    return Command(name, [sys.executable, "-c", code])


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.02)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def write_pid(path: Path) -> str:
    return f"import os, pathlib; pathlib.Path({str(path)!r}).write_text(str(os.getpid()));"


@pytest.fixture
async def supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Supervisor]:
    monkeypatch.setattr(module, "RESTART_DELAY", 0.01)
    monkeypatch.setattr(module, "GRACE", 1.0)
    async with Supervisor(log_folder=tmp_path, environment=os.environ) as running:
        yield running


async def test_a_failing_command_is_named_and_quoted(supervisor: Supervisor) -> None:
    with pytest.raises(ChildError, match=r"(?s)migrate ended with code 3\..*the reason"):
        await supervisor.run_once(script("migrate", "print('the reason'); raise SystemExit(3)"))


async def test_a_child_that_keeps_dying_fails_the_whole(supervisor: Supervisor) -> None:
    supervisor.start(script("web", "print('no such port'); raise SystemExit(1)"))
    with pytest.raises(ChildError, match=r"(?s)web ended with code 1\..*no such port"):
        await asyncio.wait_for(supervisor.failed, DEADLINE)


async def test_a_child_that_is_not_vital_may_keep_dying(
    supervisor: Supervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    supervisor.start(replace(script("signer", "raise SystemExit(1)"), vital=False))
    said = ""

    def slower() -> bool:
        nonlocal said
        said += capsys.readouterr().out
        return "Starting signer again in 60 s." in said

    await until(slower)
    assert said.count("signer ended with code 1.") == module.DEATHS_ALLOWED
    assert not supervisor.failed.done()


async def test_a_child_that_was_killed_is_started_again(
    supervisor: Supervisor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pid_file = tmp_path / "pid"
    supervisor.start(script("worker", write_pid(pid_file) + "import time; time.sleep(60)"))
    await until(lambda: pid_file.exists() and pid_file.read_text())
    first = pid_file.read_text()
    os.kill(int(first), signal.SIGKILL)
    await until(lambda: pid_file.read_text() not in {"", first})
    assert "worker was ended by SIGKILL" in capsys.readouterr().out


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EPIPE])
async def test_nobody_to_tell_it_to_stops_nothing(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr("sys.stdout", Mock(write=Mock(side_effect=OSError(code, "no more"))))
    log, once = tmp_path / "worker.log", tmp_path / "once"
    program = f"""
import pathlib, time
print("ERROR one", flush=True)
time.sleep(0.2)
print("two", flush=True)
if not pathlib.Path({str(once)!r}).exists():
    pathlib.Path({str(once)!r}).touch()
    raise SystemExit(1)
print("three", flush=True)
time.sleep(60)
"""
    supervisor.start(script("worker", program))
    await until(lambda: supervisor.failed.done() or "three" in log.read_text() if log.exists() else False)
    assert not supervisor.failed.done()
    assert log.read_text().splitlines() == ["ERROR one", "two", "ERROR one", "two", "three"]


async def test_a_child_that_was_ended_by_a_signal_without_a_name(
    supervisor: Supervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    supervisor.start(script("worker", "import os; os.kill(os.getpid(), 40)"))
    with pytest.raises(ChildError, match=r"worker was ended by signal 40"):
        await asyncio.wait_for(supervisor.failed, DEADLINE)


async def test_what_a_child_left_behind_is_ended_with_it(supervisor: Supervisor, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    grandchild = write_pid(pid_file) + "import time; time.sleep(60)"
    code = f"""
import pathlib, subprocess, sys
subprocess.Popen([sys.executable, "-c", {grandchild!r}])
path = pathlib.Path({str(pid_file)!r})
while not path.exists() or not path.read_text():
    pass
"""
    await supervisor.run_once(script("crawl", code))
    await until(lambda: gone(int(pid_file.read_text())))


async def test_hostile_output_cannot_move_the_cursor(supervisor: Supervisor, tmp_path: Path) -> None:
    tail = await supervisor.run_once(script("crawl", r"print('name \x1b[2J\x07 end')"))
    assert tail == ["name ?[2J? end"]
    assert (tmp_path / "crawl.log").read_text() == "name ?[2J? end\n"


async def test_a_child_that_ignores_the_request_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GRACE", 0.3)
    pid_file = tmp_path / "pid"
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + write_pid(pid_file)
    async with Supervisor(log_folder=tmp_path, environment=os.environ) as supervisor:
        supervisor.start(script("web", stubborn + "time.sleep(60)"))
        await until(lambda: pid_file.exists() and pid_file.read_text())
    assert gone(int(pid_file.read_text()))


async def test_children_end_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    child = write_pid(pid_file) + "import time; time.sleep(60)"
    program = f"""
import asyncio, os, pathlib, sys
from virshmanager.supervisor import Command, Supervisor
async def main():
    async with Supervisor(log_folder=pathlib.Path({str(tmp_path)!r}), environment=os.environ) as running:
        running.start(Command("web", [sys.executable, "-c", {child!r}]))
        await asyncio.sleep(60)
asyncio.run(main())
"""
    process = subprocess.Popen([sys.executable, "-c", program])
    await until(lambda: pid_file.exists() and pid_file.read_text())
    process.kill()
    process.wait()
    await until(lambda: gone(int(pid_file.read_text())))


async def test_it_works(tmp_path: Path) -> None:
    async with Supervisor(log_folder=tmp_path, environment=os.environ) as supervisor:
        assert await supervisor.run_once(script("migrate", "print('one'); print('two')")) == ["one", "two"]
    assert (tmp_path / "migrate.log").read_text() == "one\ntwo\n"
