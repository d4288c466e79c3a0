"""What all tests share."""

import signal

pytest_plugins = [
    "tests.append_only",
    "tests.cast",
    "tests.networks.requirements",
    "tests.redis_server",
    "tests.signing",
]


def pytest_sessionstart() -> None:
    """Let Ctrl-C reach what the tests start: in a job in the background it is ignored, by children too."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
