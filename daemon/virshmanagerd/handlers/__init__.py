"""One function per route: ``(daemon, request) -> response or stream``. Refusals are raised as ``Problem``."""
