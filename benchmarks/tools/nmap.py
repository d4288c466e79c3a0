"""Bare nmap, as the reference of a crawl."""

from collections.abc import Sequence
from pathlib import Path

from discovery import scanner
from tests.networks import Namespace

from . import watch


def with_our_arguments(network: str, *, inside: Namespace, port: int, max_rate: int | None) -> watch.Run:
    """One nmap over the whole network, with exactly the arguments of the crawler. Its XML goes to a file."""
    arguments = scanner.arguments(4, port=port, max_rate=max_rate)
    return _run(arguments, network, inside)


def with_defaults(network: str, *, inside: Namespace, port: int) -> watch.Run:
    """nmap as a person would type it, with its own timing, asking for our port."""
    return _run(["-n", f"-p{port}", "-iL", "-"], network, inside)


def _run(arguments: Sequence[str | Path], network: str, inside: Namespace) -> watch.Run:
    return watch.run(inside.command("nmap", *arguments, "-oX", "/dev/null"), given=f"{network}\n")
