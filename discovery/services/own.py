"""The networks that this machine is in: what an empty installation may offer to crawl."""

import ipaddress
import json
import logging
import subprocess
from typing import Any, NamedTuple

from ..errors import BadRange
from ..networks import Network, parse_range

logger = logging.getLogger(__name__)

IP_SECONDS = 5
LARGEST_PREFIX, OFFERED_PREFIX = 16, 24


class OwnNetwork(NamedTuple):
    """`cidr` holds `address`, which `interface` has. One above a /16 is offered as the /24 around it."""

    cidr: str
    address: str
    interface: str


def own_networks() -> list[OwnNetwork]:
    """Return the IPv4 networks of the interfaces that are up, without loopback. Nothing is sent to them."""
    found: dict[str, OwnNetwork] = {}
    for link in _links():
        if link.get("operstate") == "DOWN" or "LOOPBACK" in link.get("flags", []):
            continue
        for address in link.get("addr_info", []):
            network = _offered(address)
            if network is not None:
                offer = OwnNetwork(str(network), str(address["local"]), str(link["ifname"]))
                found.setdefault(offer.cidr, offer)
    return list(found.values())


def _links() -> list[dict[str, Any]]:
    try:
        listed = subprocess.run(  # nosec B603 -- a constant
            ["ip", "-json", "-4", "address", "show"],  # noqa: S607
            capture_output=True,
            timeout=IP_SECONDS,
            check=True,
        )
        links: list[dict[str, Any]] = json.loads(listed.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        logger.warning("The machine's own networks are unknown: %s", error)
        return []
    return links


def _offered(address: dict[str, Any]) -> Network | None:
    if address.get("family") != "inet" or address.get("scope") != "global":
        return None
    prefix = int(address["prefixlen"])
    offered = prefix if prefix >= LARGEST_PREFIX else OFFERED_PREFIX
    if offered >= 31:  # noqa: PLR2004 -- RFC 3021: a link of two points, or one address alone
        return None
    network = ipaddress.ip_interface(f"{address['local']}/{offered}").network
    try:
        return parse_range(str(network))
    except BadRange:
        return None
