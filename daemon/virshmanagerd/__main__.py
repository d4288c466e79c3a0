"""The command ``virshmanagerd``."""

from __future__ import annotations

import argparse
import os
import sys

from virshmanagerd import __version__, config

USAGE_ERROR = 2
SETTINGS_HELP = {
    "listen": "the address to listen on (0.0.0.0)",
    "port": "the port to listen on (16510)",
    "uri": "the libvirt to drive (qemu:///system)",
    "state_dir": "where key, owner and journal live (/var/lib/virshmanagerd)",
    "join_file": "where a join key may lie (/etc/virshmanager/join.json)",
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit status."""
    options = vars(_parser().parse_args(arguments))
    command = options.pop("command")
    given = {name: value for name, value in options.items() if value is not None}
    try:
        settings = config.load(given, os.environ)
    except config.ConfigError as error:
        print(f"virshmanagerd: {error}", file=sys.stderr)
        return USAGE_ERROR
    if command == "serve":
        from virshmanagerd.master import serve

        serve(settings)
        return 0
    return _run(command, settings)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="virshmanagerd",
        description="REST over mutual TLS for the libvirt hypervisor of this machine.",
        epilog="Settings may also stand in /etc/virshmanager/daemon.toml, or in VIRSHMANAGERD_PORT etc.",
    )
    parser.add_argument("--version", action="version", version=f"virshmanagerd {__version__}")
    parser.add_argument(
        "command",
        nargs="?",
        default="serve",
        choices=("serve", "status", "code", "reset"),
        help="serve (the default); status: show identity and owner; reset: forget them; "
        "code: make a code by which a server adopts this host",
    )
    for name, text in SETTINGS_HELP.items():
        parser.add_argument(f"--{name.replace('_', '-')}", dest=name, metavar=name.upper(), help=text)
    return parser


def _run(command: str, settings: config.Config) -> int:
    # Light to import for serving, where the master must stay small.
    from virshmanagerd import commands
    from virshmanagerd.ownership import OwnershipError

    try:
        for line in {"status": commands.status, "code": commands.code, "reset": commands.reset}[command](
            settings
        ):
            print(line)
    except (commands.CommandError, OwnershipError) as error:
        print(f"virshmanagerd: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
