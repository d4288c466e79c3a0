"""One function per route: ``(daemon, request) -> response``. Refusals are raised as ``Problem``."""
