"""Thirty ways to make a name run as a script, and a fleet whose every name and description is one of them."""

import ipaddress
from datetime import timedelta
from typing import Final
from urllib.parse import urlencode

from django.contrib.auth.models import Group, User
from django.utils import timezone

from access.choices import LONGEST_TAG, Role, Target
from access.models import Place
from access.services import create_token, grant, set_quota
from discovery.models import Address, Crawl, Range
from domains.models import Domain
from hosts.models import Host, JoinKey, Operation, OperationEvent
from hosts.services import create_join_key
from tests.domains.factories import domain, owned_host

# Each calls `struck()` if it runs, and carries the mark if it becomes an element.
MARK: Final = "data-struck"
PAYLOADS: Final = (
    f"<script {MARK}>struck()</script>",
    f"</script><script {MARK}>struck()</script>",
    f"</title><script {MARK}>struck()</script>",
    f"</textarea><script {MARK}>struck()</script>",
    f"</template><script {MARK}>struck()</script>",
    f"--><script {MARK}>struck()</script>",
    f"]]><script {MARK}>struck()</script>",
    f'"><script {MARK}>struck()</script>',
    f"'><script {MARK}>struck()</script>",
    f"<ScRiPt {MARK}>struck()</sCrIpT>",
    f"<script/{MARK}/x>struck()</script>",
    f"<script {MARK} src=data:text/javascript,struck()></script>",
    f"<img {MARK} src=x onerror=struck()>",
    f"<img/{MARK}/src=x/onerror=struck()>",
    f'" {MARK} onfocus=struck() autofocus x="',
    f"' {MARK} onmouseover=struck() x='",
    f"<svg {MARK} onload=struck()>",
    f"<svg><script {MARK}>struck()</script></svg>",
    f"<svg><animate {MARK} onbegin=struck() attributeName=x dur=1s>",
    f"<math><mtext><img {MARK} src=x onerror=struck()></mtext></math>",
    f"<body {MARK} onload=struck()>",
    f"<details {MARK} open ontoggle=struck()>",
    f"<video {MARK}><source onerror=struck()></video>",
    f"<input {MARK} autofocus onfocus=struck()>",
    f"<iframe {MARK} srcdoc='<script>parent.struck()</script>'></iframe>",
    f"<a {MARK} href=javascript:struck()>x</a>",
    "javascript:struck()//",
    f"<base {MARK} href=//elsewhere.example/>",
    f"<style {MARK}>@import '//elsewhere.example'</style>",
    "{{constructor.constructor('struck()')()}}${struck()}<%= struck() %>",
)
ALL: Final = " ".join(PAYLOADS)


def fill() -> None:
    """Hosts, domains, ranges, operations, keys, tokens and people by these names. Nothing is dialled."""
    range_ = Range.objects.create(cidr="198.51.100.0/24", label=ALL, enabled=False)
    for number, text in enumerate((*PAYLOADS, ALL)):
        host = owned_host(hostname=text, reason=text, address=f"198.51.100.{number + 1}", cpu_model=text)
        known = domain(host, name=text, title=text, description=ALL, tags=list(PAYLOADS), state="running")
        _operation(host, known, text)
        create_join_key(label=text[:100])
        create_token(user=User.objects.get(username="ada"), name=text)
        group = Group.objects.create(name=text[:150])
        user = User.objects.create(username=f"{number} {text}"[:150], first_name=text[:150])
        user.groups.add(group)
        _grants(user, group, host, known, text)
        Range.objects.create(cidr=f"203.0.113.{number}/32", label=text, enabled=False)
    JoinKey.objects.update(label=ALL)
    now = timezone.now()
    Crawl.objects.create(range=range_, phase="full", state="failed", finished_at=now, problem={"detail": ALL})
    packed = b"\0" * 10 + b"\xff\xff" + ipaddress.ip_address("198.51.100.1").packed
    Address.objects.create(range=range_, ip="198.51.100.1", packed=packed, kind="foreign", reason=ALL)


def _grants(user: User, group: Group, host: Host, known: Domain, text: str) -> None:
    grant(group, Role.VIEWER, Place(Target.TAG, tag=text[:LONGEST_TAG]), actor=user)
    grant(user, Role.OPERATOR, Place(Target.HOST, object_id=host.pk), actor=user)
    grant(user, Role.VIEWER, Place(Target.DOMAIN, object_id=known.pk), actor=user)
    set_quota(group, {"domains": 1}, actor=user)


def _operation(host: Host, known: Domain, text: str) -> None:
    operation = Operation.objects.create(
        host=host,
        host_name=text,
        actor_name=text,
        target_type="domain",
        target_id=known.pk,
        target_name=text,
        verb="destroy",
        state="failed",
        deadline=timezone.now() - timedelta(hours=1),
        problem={"type": "internal_error", "detail": text},
    )
    OperationEvent.objects.create(operation=operation, state="failed", detail=ALL)


def pages() -> list[str]:
    """Each page once, with all of them on it."""
    host, guest = Host.objects.get(hostname=ALL), Domain.objects.get(name=ALL)
    operation, range_ = Operation.objects.get(target_name=ALL), Range.objects.get(cidr="198.51.100.0/24")
    group = Group.objects.get(name=ALL[:150])
    user = group.user_set.get()
    question = urlencode({"user": user, "verb": "start", "target": "domain", "name": guest.uuid})
    at = f"/domains/{guest.pk}/"
    return [
        *("/", "/discovery/", "/hosts/", "/domains/", "/operations/", "/join-keys/", "/account/tokens/"),
        *(f"/hosts/{host.pk}/", f"/hosts/{host.pk}/trust/", f"/hosts/{host.pk}/domains/define/"),
        *(at, f"{at}edit/", f"{at}verbs/", f"{at}verbs/destroy/", f"{at}forget/", f"{at}console/"),
        *(f"/operations/{operation.pk}/", f"/discovery/ranges/{range_.pk}/", "/audit/"),
        *(f"/discovery/ranges/{range_.pk}/edit/", f"/discovery/ranges/{range_.pk}/at/198.51.100.1/"),
        *("/users/", f"/users/{user.pk}/", "/groups/", f"/groups/{group.pk}/", f"/groups/{group.pk}/delete/"),
        f"/groups/{group.pk}/rename/",
        f"/explain/?{question}",
        *("/admin/hosts/host/", "/admin/auth/user/", "/admin/auth/group/", "/admin/access/apitoken/"),
        "/admin/access/quota/",
    ]
