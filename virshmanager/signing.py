"""The signer as a child of the supervisor: it alone is given the master key, and it alone may be missing.

A signer of yours, under a user of its own, is named by VIRSHMANAGER_SIGNER; then none is started here.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from django.conf import settings

from hosts import trust
from virshmanager.supervisor import START_DEADLINE, ChildError, Command, StartError, Supervisor, python, say

# Where the signer finds its master key (hosts/trust/signer/vault.py). No other process is told.
MASTER_KEY: Final = ("VIRSHMANAGER_MASTER_KEY", "VIRSHMANAGER_MASTER_KEY_FILE")


def is_ours() -> bool:
    return settings.VIRSHMANAGER_SIGNER is None


def signer(home: Path) -> Command:
    """What alone holds the key of the authority. Without it no host is enrolled; all else goes on."""
    arguments = ("--folder", str(home / "trust"), "--socket", str(home / "signer.sock"))
    return replace(python("signer", "-m", "hosts.trust.signer", *arguments), vital=False)


def master_key() -> Mapping[str, str]:
    return {name: os.environ[name] for name in MASTER_KEY if name in os.environ}


def require_key(home: Path, environment: Mapping[str, str]) -> None:
    """Let the signer make or open the key of the authority once: what is wrong is said before the start."""
    ended = subprocess.run(  # noqa: S603 -- our own program
        [*signer(home).arguments, "--prepare"],
        env={**environment, **master_key()},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    lines = ended.stderr.splitlines() or ["The signer does not start."]
    if ended.returncode:
        raise StartError(lines[-1])
    sys.stderr.write(ended.stderr)


def start_signer(supervisor: Supervisor, home: Path) -> None:
    supervisor.start(signer(home), environment=master_key())


async def signer_answers() -> None:
    """Return when our signer answers, and raise ChildError after a while; of theirs it is only said."""
    if not is_ours():
        if not await asyncio.to_thread(trust.signer_answers):
            say(f"The signer of VIRSHMANAGER_SIGNER, {settings.VIRSHMANAGER_SIGNER}, does not answer.")
        return
    try:
        async with asyncio.timeout(START_DEADLINE):
            while not await asyncio.to_thread(trust.signer_answers):
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise ChildError(f"signer did not answer within {START_DEADLINE:.0f} s.") from None
