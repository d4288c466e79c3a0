"""Answers about all domains at once, in a number of libvirt calls that does not grow with them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Final

import libvirt

from virshmanagerd import domainxml
from virshmanagerd.domainxml import Summary
from virshmanagerd.driver.answers import Domain, DomainStats, Metadata, Stat
from virshmanagerd.driver.session import Session
from virshmanagerd.errors import InvalidXML
from virshmanagerd.states import reason_word, state_word
from virshmanagerd.text import clean

STATE: Final[int] = libvirt.VIR_DOMAIN_STATS_STATE
SIZES: Final[int] = STATE | libvirt.VIR_DOMAIN_STATS_VCPU | libvirt.VIR_DOMAIN_STATS_BALLOON
ALL: Final = 0
NAME: Final = 255
KIB: Final = 1024

UNSUPPORTED: Final = (libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_INVALID_ARG)
NOTHING: Final = Summary(title=None, description=None, tags=[], vcpus=None, memory=None, max_memory=None)

Rows = list[tuple[libvirt.virDomain, dict[str, Stat]]]


def rows(session: Session, groups: int, *, active_only: bool = False) -> Rows:
    """Each domain, or each active one, with libvirt's statistics of these groups.

    A domain that is busy in another call gives less, instead of holding up the
    rest, where libvirt can do that.
    """
    nowait = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT if session.nowait else 0
    active = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE if active_only else 0
    try:
        answer: Rows = session.connection.getAllDomainStats(groups, nowait | active)
    except libvirt.libvirtError as error:
        if nowait and error.get_error_code() in UNSUPPORTED:
            session.nowait = False
            return rows(session, groups, active_only=active_only)
        if error.get_error_code() == libvirt.VIR_ERR_NO_SUPPORT:
            return _one_by_one(session)
        raise
    return answer


def _one_by_one(session: Session) -> Rows:
    """The same for drivers without statistics, such as LXC."""
    answer: Rows = []
    for domain in session.connection.listAllDomains():
        try:
            state, reason = domain.state()
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                continue  # it ended meanwhile
            raise
        answer.append((domain, {"state.state": state, "state.reason": reason}))
    return answer


def listing(session: Session, found: Rows) -> list[Domain]:
    """The domains of `found`, with what statistics do not hold."""
    flags = {
        word: _uuids(session.connection.listAllDomains(flag))
        for word, flag in (
            ("persistent", libvirt.VIR_CONNECT_LIST_DOMAINS_PERSISTENT),
            ("autostart", libvirt.VIR_CONNECT_LIST_DOMAINS_AUTOSTART),
            ("has_managed_save", libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE),
        )
    }
    domains = []
    for handle, stats in found:
        uuid = handle.UUIDString()
        try:
            read = session.summaries.get(uuid, partial(summary, handle))
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                continue  # undefined since the first call
            raise
        domains.append(domain_row(handle, stats, read, {w: uuid in u for w, u in flags.items()}))
    session.summaries.keep({domain["uuid"] for domain in domains})
    return domains


def stats(session: Session) -> list[DomainStats]:
    """All statistics that libvirt has of each domain."""
    return [
        DomainStats(uuid=handle.UUIDString(), stats={k: _stat(v) for k, v in values.items()})
        for handle, values in rows(session, ALL)
    ]


def domain_row(
    handle: libvirt.virDomain, stats: dict[str, Stat], read: Summary, flags: dict[str, bool]
) -> Domain:
    state, reason = int(stats.get("state.state", -1)), int(stats.get("state.reason", -1))
    identifier = handle.ID()
    return Domain(
        uuid=handle.UUIDString(),
        name=clean(handle.name(), NAME),
        id=None if identifier < 0 else identifier,
        state=state_word(state),
        reason=reason_word(state, reason),
        vcpus=_whole(stats.get("vcpu.current"), 1, read["vcpus"]),
        memory=_whole(stats.get("balloon.current"), KIB, read["memory"]),
        max_memory=_whole(stats.get("balloon.maximum"), KIB, read["max_memory"]),
        persistent=flags["persistent"],
        autostart=flags["autostart"],
        has_managed_save=flags["has_managed_save"],
        title=read["title"],
        metadata=Metadata(description=read["description"], tags=read["tags"]),
    )


def summary(handle: libvirt.virDomain) -> Summary:
    """What its XML says of a domain. One with XML that cannot be read must not hide the others."""
    try:
        return domainxml.summary(domainxml.parse(handle.XMLDesc(0)))
    except InvalidXML:
        pass
    except libvirt.libvirtError as error:
        # It does not fit into a message of libvirt's, 4 MiB.
        if error.get_error_code() != libvirt.VIR_ERR_RPC:
            raise
    _, maximum, current, vcpus, _ = handle.info()
    return {**NOTHING, "vcpus": vcpus, "memory": current * KIB, "max_memory": maximum * KIB}


def _uuids(handles: Iterable[libvirt.virDomain]) -> set[str]:
    return {handle.UUIDString() for handle in handles}


def _whole(value: Stat | None, unit: int, other: int | None) -> int | None:
    return other if value is None else int(value) * unit


def _stat(value: Stat) -> Stat:
    return clean(value, domainxml.PATH) if isinstance(value, str) else value
