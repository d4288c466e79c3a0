"""Which role each verb needs on its object: one table, for pages, API and WebSockets alike.

What is not in it needs an administrator: a verb that somebody forgets to grant is refused.
"""

from collections.abc import Mapping
from typing import Final

from .choices import Role

SEE: Final = "see"
OPERATED: Final = (
    *("start", "shutdown", "reboot", "reset", "destroy", "suspend", "resume", "save", "restore"),
    *("autostart", "metadata", "type"),
)
NEEDED: Final[Mapping[str, Role]] = {
    # To see is to read its XML, its screen and its measurements, too. At a console a viewer looks on; to
    # `type` there is to operate.
    SEE: Role.VIEWER,
    "console": Role.VIEWER,
    **dict.fromkeys(OPERATED, Role.OPERATOR),
}
# What only administrators do, by name for those who ask why.
ADMINISTERED: Final = (
    *("undefine", "forget", "define"),
    *("adopt", "approve", "deny", "retire", "probe", "test_connection"),
)


def needed(verb: str) -> Role:
    return NEEDED.get(verb, Role.ADMINISTRATOR)
