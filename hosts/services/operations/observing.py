"""What a look at a domain tells of an operation whose journal is lost: it is observed, never sent again."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from ...payloads import DomainFacts

Effect = Callable[[DomainFacts, Mapping[str, Any]], bool]


def _is_active(domain: DomainFacts, _args: Mapping[str, Any]) -> bool:
    return domain["state"] not in {"shutoff", "crashed", "unknown"}


def _is_off(domain: DomainFacts, _args: Mapping[str, Any]) -> bool:
    # One that crashed may be in memory still: then libvirt gives it an id.
    return domain["state"] == "shutoff" or (domain["state"] == "crashed" and domain["id"] is None)


def _is_saved(domain: DomainFacts, args: Mapping[str, Any]) -> bool:
    return _is_off(domain, args) and domain["has_managed_save"]


def _is_paused(domain: DomainFacts, _args: Mapping[str, Any]) -> bool:
    return domain["state"] == "paused"


def _runs(domain: DomainFacts, _args: Mapping[str, Any]) -> bool:
    return domain["state"] in {"running", "blocked"}


def _starts_by_itself(domain: DomainFacts, args: Mapping[str, Any]) -> bool:
    return domain["autostart"] is args["enabled"]


def _is_described(domain: DomainFacts, args: Mapping[str, Any]) -> bool:
    told: Mapping[str, Any] = domain
    return all(told[name] == value for name, value in args.items())


# Verbs whose wanted effect is a state, whoever brought it about. Of the others nothing can tell.
EFFECTS: Final[Mapping[str, Effect]] = {
    "start": _is_active,
    "restore": _is_active,
    "shutdown": _is_off,
    "destroy": _is_off,
    "save": _is_saved,
    "suspend": _is_paused,
    "resume": _runs,
    "autostart": _starts_by_itself,
    "metadata": _is_described,
}


def is_visible(verb: str, args: Mapping[str, Any], domain: DomainFacts | None) -> bool:
    """Whether a domain is as the verb wants it; `domain` is None when its host does not know it."""
    if domain is None:
        return verb == "undefine"
    effect = EFFECTS.get(verb)
    return effect is not None and effect(domain, args)
