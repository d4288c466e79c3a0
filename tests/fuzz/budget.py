"""How many requests are made: few and always the same, or as many as FUZZ_REQUESTS says, at random."""

import os
from typing import Final

from hypothesis import HealthCheck, Phase, settings

ALWAYS: Final = 300
WANTED: Final = int(os.environ.get("FUZZ_REQUESTS", "0"))


def examples(parts: int) -> settings:
    """The settings of one part of so many."""
    return settings(
        max_examples=-(-(WANTED or ALWAYS) // parts),
        derandomize=not WANTED,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
