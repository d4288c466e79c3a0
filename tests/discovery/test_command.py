"""`manage.py crawl`, as people and scripts run it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from discovery import services
from discovery.choices import CrawlState, Phase
from discovery.models import Crawl, Range

from .conftest import is_alive, wait_until
from .test_scanner import VERSION, FakeNmap

MakeRange = Callable[..., Range]
PROJECT = Path(__file__).parents[2]


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("crawl", *arguments, stdout=out)
    return out.getvalue()


@pytest.mark.django_db(transaction=True)
class TestRefusals:
    @pytest.mark.parametrize(
        "arguments",
        [
            ("10.0.0.0/8",),
            ("127.0.77.0/28", "nonsense"),
            ("127.0.77.0/28 --script=x",),
            ("127.0.77.1/28",),
            ("--phase", "5"),
            ("--phase", "everything"),
            ("--port", "0"),
            ("--port", "65536"),
            ("--max-rate", "0"),
            ("--max-rate", "-1"),
        ],
    )
    def test_wrong_arguments_end_with_2_and_make_nothing(
        self, home: Path, arguments: tuple[str, ...]
    ) -> None:
        with pytest.raises(CommandError) as refused:
            run(*arguments)
        assert refused.value.returncode == 2
        assert not Range.objects.exists()

    def test_a_crawl_that_fails_ends_with_1(
        self, home: Path, fake_nmap: FakeNmap, capsys: pytest.CaptureFixture[str]
    ) -> None:
        fake_nmap(f"{VERSION}; exit 1")
        with pytest.raises(SystemExit) as ended:
            run("127.0.77.0/28")
        assert ended.value.code == 1
        assert "127.0.77.0/28: nmap ended with an error." in capsys.readouterr().err

    def test_a_disabled_range_is_not_crawled(self, make_range: MakeRange) -> None:
        make_range(enabled=False)
        with pytest.raises(SystemExit) as ended:
            run("127.0.77.0/28")
        assert ended.value.code == 1
        assert not Crawl.objects.exists()


@pytest.mark.django_db(transaction=True)
class TestRuns:
    def test_without_ranges_it_says_what_to_do(self, home: Path) -> None:
        assert "Name one" in run()
        assert json.loads(run("--json")) == []

    def test_a_range_that_is_new_is_made_and_crawled(self, home: Path) -> None:
        told = run("127.0.77.0/28")
        assert "full of 127.0.77.0/28  succeeded" in told
        assert Range.objects.get().max_rate == 5000

    def test_all_enabled_ranges_are_crawled(self, make_range: MakeRange) -> None:
        make_range("127.0.77.0/28")
        make_range("127.0.78.0/28")
        make_range("127.0.79.0/28", enabled=False)
        told = json.loads(run("--json"))
        assert [crawl["range"] for crawl in told] == list(
            Range.objects.enabled().values_list("pk", flat=True)
        )
        assert {crawl["state"] for crawl in told} == {"succeeded"}

    @pytest.mark.parametrize(
        ("word", "phase"), [("1", "full"), ("new", "new"), ("2", "new"), ("3", "recheck"), ("probe", "probe")]
    )
    def test_phases_by_number_and_name(self, make_range: MakeRange, word: str, phase: str) -> None:
        make_range()
        (crawl,) = json.loads(run("--json", "--phase", word))
        assert (crawl["phase"], crawl["state"]) == (phase, "succeeded")

    def test_port_and_rate_are_for_this_run(self, make_range: MakeRange, free_port: int) -> None:
        range_ = make_range()
        run("--port", "4321", "--max-rate", "777")
        assert Crawl.objects.values_list("port", "max_rate").get() == (4321, 777)
        range_.refresh_from_db()
        assert (range_.port, range_.max_rate) == (free_port, None)

    def test_one_that_fails_does_not_keep_the_next_from_being_crawled(
        self, make_range: MakeRange, capsys: pytest.CaptureFixture[str]
    ) -> None:
        busy, free = make_range("127.0.77.0/28"), make_range("127.0.78.0/28")
        running = services.request_crawl(busy, Phase.FULL)  # queued: no worker of these tests takes it
        with pytest.raises(SystemExit):
            run()
        assert running.state == CrawlState.QUEUED
        assert free.crawls.get().state == CrawlState.SUCCEEDED


class Installation:
    """A server of its own folder, whose command line is used."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = os.environ | {"VIRSHMANAGER_HOME": str(folder)}
        self.environment.pop("DJANGO_SETTINGS_MODULE", None)
        self.environment.pop("DATABASE_URL", None)
        self.manage("migrate", "--verbosity", "0")

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, str(PROJECT / "manage.py"), *arguments]

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    @contextmanager
    def running(self, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(self.command(*arguments), env=self.environment, **pipes) as process:
            try:
                yield process
            finally:
                process.kill()

    def crawls(self) -> list[dict[str, Any]]:
        code = (
            "import json; from discovery.models import Address, Crawl;"
            "print(json.dumps([{'state': c.state, 'problem': c.problem, 'counts': c.counts} for c in"
            " Crawl.objects.order_by('pk')]))"
        )
        told = self.manage("shell", "--verbosity", "0", "-c", code)
        crawls: list[dict[str, Any]] = json.loads(told.stdout)
        return crawls


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return Installation(tmp_path_factory.mktemp("installation"))


@pytest.fixture
def second_chunk_hangs(fake_nmap: FakeNmap, installation: Installation, tmp_path: Path) -> Path:
    """nmap scans one chunk and then hangs. Returns the file that then holds its pid."""
    installation.environment["PATH"] = os.environ["PATH"]
    hang = f"echo $$ > {tmp_path}/draft; mv {tmp_path}/draft {tmp_path}/pid; exec sleep 600"
    fake_nmap(f'{VERSION}; if mkdir {tmp_path}/first; then exec /usr/bin/nmap "$@"; fi; {hang}')
    installation.environment["PATH"] = os.environ["PATH"]
    return tmp_path / "pid"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 130)])
def test_an_interrupt_ends_it_cleanly(
    installation: Installation, second_chunk_hangs: Path, number: signal.Signals, status: int
) -> None:
    with installation.running("crawl", "--json", "--port", "1", "127.0.64.0/18") as process:
        wait_until(second_chunk_hangs.exists, "the second chunk is scanned")
        process.send_signal(number)
        told, errors = process.communicate(timeout=20)
    assert process.returncode == status
    (crawl,) = json.loads(told)
    assert crawl["state"] == "cancelled"
    assert crawl["counts"]["others"] == 8192, "what was found is kept"
    assert "Traceback" not in errors
    assert not is_alive(int(second_chunk_hangs.read_text()))


def test_a_killed_crawl_keeps_its_findings_and_blocks_nobody(
    installation: Installation, second_chunk_hangs: Path
) -> None:
    with installation.running("crawl", "--port", "1", "127.0.64.0/18") as process:
        wait_until(second_chunk_hangs.exists, "the second chunk is scanned")
        process.kill()
    nmap = int(second_chunk_hangs.read_text())
    wait_until(lambda: not is_alive(nmap), "nmap died with it")
    installation.environment["PATH"] = installation.environment["PATH"].partition(":")[2]
    following = installation.manage("crawl", "--port", "1", "127.0.64.0/18")
    assert following.returncode == 0, following.stderr
    *_, killed, last = installation.crawls()
    assert (killed["state"], killed["problem"]["type"]) == ("failed", "process_lost")
    assert killed["counts"]["others"] == 8192
    assert last["state"] == "succeeded"
    assert last["counts"]["others"] == 16384
