"""The first thing a stranger runs: a network appears, and its hypervisors are owned."""

import http.client
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.virshmanager.serving import ROOT, STOP_SECONDS, environment, free_port, running
from virshmanager.demo import claimed_port

HYPERVISORS = 6
DOMAINS_AT_LEAST = 60


def api(port: int, token: str, path: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={"Authorization": f"Token {token}"})
        answer = connection.getresponse()
        assert answer.status == http.client.OK
        return json.loads(answer.read())
    finally:
        connection.close()


@pytest.mark.timeout(180)
def test_the_demo_network_is_found_and_owned(tmp_path: Path) -> None:
    port = free_port()
    variables = {"VIRSHMANAGER_PORT": str(port), "VIRSHMANAGER_ADMIN_PASSWORD": "correct horse battery"}
    with claimed_port() as another_demos, running(tmp_path, "--demo", **variables) as (process, _):
        command = [sys.executable, "manage.py", "api_token", "admin"]
        token = subprocess.check_output(command, cwd=ROOT, env=environment(tmp_path, **variables), text=True)
        hosts = api(port, token.strip(), "/api/hosts/?trust=owned")
        domains = api(port, token.strip(), "/api/domains/")
        ranges = api(port, token.strip(), "/api/ranges/")
        process.send_signal(signal.SIGINT)
        assert process.wait(STOP_SECONDS) == 0
    assert hosts["count"] == HYPERVISORS
    assert domains["count"] >= DOMAINS_AT_LEAST
    ports = {host["port"] for host in hosts["results"]}
    assert another_demos not in ports
    assert [found["port"] for found in ranges["results"]] == [*ports]
