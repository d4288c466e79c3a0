"""What can go wrong with a host: stable words, a sentence for each, and the errors of the Agent.

HostsError
|- NotPossible              what a person asked is not possible as things are
|  `- EnrolmentError        a daemon could not be enrolled
|- BadInput                 a field holds what is not allowed there
|- KeyReused                an Idempotency-Key was used for something else
`- AgentError               a call to an owned host failed
   |- OutsideRanges         its address lies in no enabled range: it is not dialled
   |- GivenUp               it was denied or retired: it is not dialled
   |- DuplicateIdentity     two machines show its identity: neither is spoken to
   |- RetryLater            worth trying again
   |  |- SigningError       the signer does not answer, or refused (in `trust`)
   |  |- Unreachable        no connection
   |  |  `- CircuitOpen     not tried: the last attempts failed, and the back-off is not over
   |  |- StreamEnded        the host ended a stream; `code` says why
   |  |- TimedOut           no complete answer within the deadline
   |  `- HostBusy           enough calls are running, or the daemon says that it is busy
   |- RejectedByHost        the daemon does not accept this server
   |- WrongIdentity         who answers cannot prove to be this host
   |- CertificateOutOfDate  the host's certificate has expired, or is not valid yet
   |- ProtocolError         the answer is not what the contract says
   `- ProblemAnswer         the daemon refused, with a problem of its own

Each but BadInput carries `problem`, a stable word of SENTENCES (or the daemon's own, of a ProblemAnswer).
"""

from http import HTTPStatus
from typing import Final

from django.core.exceptions import ValidationError
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

# What each word means to a person, and what to do about it.
SENTENCES: Final[dict[str, str | Promise]] = {
    # Strangers: what answers on the port is no host of ours.
    "owned_by_another": _(
        "It demands a certificate of another manager. To free it, run “virshmanagerd reset” on the host."
    ),
    "demands_certificate": _("It demands a client certificate."),
    "not_tls": _("It does not speak TLS: another service uses this port."),
    "not_virshmanager": _("It is another service, or a daemon too old to be spoken to."),
    "identity_mismatch": _(
        "It claims an identity that its key does not give, so it is not spoken to. Look at what runs there."
    ),
    "too_slow": _("It did not say who it is in time."),
    "too_large": _("It answered far more than an identity."),
    "refused": _("It refused the connection. Check that virshmanagerd runs there, and on this port."),
    "unreachable": _("It cannot be reached. Check that it runs, and that its firewall lets this server in."),
    # Enrolment.
    "no_join_key": _(
        "It has no owner and no join key. Adopt it by the code that “virshmanagerd code” prints on the "
        "host, or put a join.json of this server there."
    ),
    "join_key_unknown": _(
        "Its join key is not of this server. Put a join.json of this server on the host, or adopt it by "
        "a code."
    ),
    "join_key_expired": _("Its join key has expired. Create a new one and put its join.json on the host."),
    "join_key_spent": _("Its join key has been used as often as it may. Create a new one for this host."),
    "join_key_revoked": _("Its join key was revoked. Create a new one and put its join.json on the host."),
    "join_key_wrong_network": _(
        "Its join key may not be used from this network. Create one that may, or adopt it by a code."
    ),
    "join_key_pending": _("It proved its join key, and waits for your approval."),
    "already_owned": _("It has another owner. To free it, run “virshmanagerd reset” on the host."),
    "server_not_proven": _(
        "It does not accept this server: its join.json is of another one, it has another owner by now, "
        "or the attempt took too long. Try again; if that does not help, put a join.json of this server "
        "on the host, or adopt it by a code."
    ),
    "bad_proof": _(
        "The code is wrong, or someone sits between you and the host. Make a new one there with "
        "“virshmanagerd code”, and type it as it is printed."
    ),
    "code_expired": _("The code has expired. Make a new one on the host with “virshmanagerd code”."),
    "owned_here": _("It is owned by this server already."),
    "mitm_suspected": _(
        "Its proof does not fit the key it showed: someone may sit between you and the host. The key is "
        "quarantined, and not spoken to again. If it is the host's own, “virshmanagerd reset” there "
        "makes a new one."
    ),
    "fingerprint_changed": _(
        "It shows another key than the one that belongs to this identity: someone may sit between you "
        "and the host, or two machines share its address. Look at the host before you try again."
    ),
    "bad_csr": _(
        "The certificate it asks for is not for the key that it showed. Look at its daemon before you "
        "try again."
    ),
    "bad_certificate": _(
        "It did not accept the certificate that was made for it. Check its clock and this server's, and "
        "try again."
    ),
    "clock_skew": _("Its clock differs from this server's by %(seconds)s seconds. Set both clocks."),
    "api_too_old": _("Its daemon and this server speak different versions of the API. Update one."),
    "too_many_attempts": _("It has seen too many attempts from here. Try again in %(seconds)s seconds."),
    "duplicate_identity": _(
        "Two machines show this identity, one being a copy of the other, so neither is used. Run "
        "“virshmanagerd reset” on the copy: it becomes another host, to be adopted. Then approve this one."
    ),
    "approval_needed": _("It carries a certificate of this server, and waits for your approval."),
    "not_waiting": _("It does not wait for an approval."),
    "not_owned": _("It is not owned by this server."),
    "still_owned": _("It is owned. Retire it first."),
    "enrolling": _("It is being enrolled right now. Look again in a minute."),
    "ownership_lost": _(
        "It was reset on the host, and has no owner any more. Adopt it by the code that “virshmanagerd "
        "code” prints on the host, or put a new join.json there."
    ),
    "retired": _("It was retired here. It comes back only when a person approves or adopts it."),
    "retired_told": _(
        "It was retired here, and has forgotten this server. It comes back only when a person approves or "
        "adopts it."
    ),
    "retired_untold": _(
        "It was retired here, but could not be told: %(detail)s That is tried for an hour. Later, only "
        "“virshmanagerd reset” on the host frees it."
    ),
    "certificate_denied": _(
        "It shows a certificate from before it was retired. Run “virshmanagerd reset” on it, then adopt it."
    ),
    "denied": _("It was denied here. It is not spoken to until a person approves or adopts it."),
    "quarantined": _(
        "Its key is quarantined: it tried what it could not prove. If it is a host of yours, "
        "“virshmanagerd reset” there makes a new one."
    ),
    # The test of a connection.
    "name_elsewhere": _(
        "%(name)s does not lead to %(address)s here. Hosts are dialled by address: nothing depends on it."
    ),
    # The signer, which alone holds the key of the authority.
    "signer_down": _("The signer does not answer, so nothing is signed. It is asked again. See its log."),
    "signer_fails": _("The signer of certificates does not start: %(detail)s"),
    "not_signed": _("The signer refused to sign: %(detail)s. Its log says for whom."),
    "other_authority": _("The signer signs by another authority than this server's. Look at its folder."),
    "rotating": _("The authority is being followed by a new one already: see manage.py ca status."),
    # Owned hosts.
    "outside_ranges": _("Its address lies in no enabled range, so it is not dialled."),
    "timed_out": _("It did not answer in time."),
    "host_busy": _("It has enough calls to work on. It is asked again soon."),
    "rejected_by_host": _(
        "It refuses this server's certificate: it may have another owner now, or its clock is wrong."
    ),
    "wrong_identity": _(
        "Who answers at its address cannot prove to be this host. If it has moved, or was reset, crawl "
        "its network."
    ),
    "certificate_expired": _("Its certificate is not valid at this time. Check its clock and this server's."),
    "bad_answer": _("It answered something that no daemon of ours should: %(detail)s"),
    "bad_events": _("Its events are not followed, it is probed instead, since it told: %(detail)s"),
    "duplicate_libvirt_uuid": _(
        "Its libvirt calls itself %(uuid)s, and so does that of another host, which its page Trust names. "
        "Nothing can be migrated between the two. Give one of them another host_uuid, as uuidgen prints it, "
        "in /etc/libvirt/libvirtd.conf (or virtqemud.conf, where that runs), and restart it."
    ),
    "libvirt_down": _("Its libvirt does not answer: %(detail)s"),
    "host_problem": _("It answered: %(detail)s"),
    # Operations.
    "idempotency_key_reused": _("This Idempotency-Key was used for another request."),
    "operation_ended": _("It has ended, and cannot be cancelled any more."),
    "not_cancellable": _("The host is working on it, and it cannot be cancelled any more."),
    "host_not_owned": _("Its host is not owned, so it is not asked."),
    "expired": _("The host did not take it before its deadline. Nothing was done. %(detail)s"),
    "cancelled": _("It was cancelled before the host had it. Nothing was done."),
    "lost": _(
        "The host had it, and could not be asked any more what became of it. Look at its target before "
        "you ask again."
    ),
    "journal_changed": _(
        "The host lost its journal of operations, so that nobody can tell whether it was done. Look at its "
        "target before you ask again."
    ),
    "stopped_by_failure": _("One before it did not succeed, so it was not begun."),
    "not_granted": _("Who asked for it may not do it any more, so it was not begun."),
    "not_begun": _("Its turn did not come in time, so it was not begun."),
    "not_all_succeeded": _("%(failed)s of %(total)s did not succeed."),
}


def sentence(word: str, **values: object) -> str:
    """Return what a person is told about the problem `word`; an unknown word stands for itself."""
    text = str(SENTENCES.get(word, word))
    return text % values if values else text


class BadPayload(ValueError):
    """A daemon's answer has not the shape of the contract. The text says where."""


class HostsError(Exception):
    """What was asked of a host did not work. The text is a sentence for people."""


class NotPossible(HostsError):
    """What a person asked is not possible as things are. `problem` is a stable word."""

    def __init__(self, problem: str, **values: object) -> None:
        self.problem = problem
        super().__init__(sentence(problem, **values))


class BadInput(HostsError, ValidationError):
    """A field holds what is not allowed there; forms and the API show it at that field."""

    def __init__(self, field: str, reason: str) -> None:
        ValidationError.__init__(self, {field: [reason]})
        self.field, self.reason = field, reason

    def __str__(self) -> str:
        return self.reason


class KeyReused(HostsError):
    """An Idempotency-Key was used for something else before."""

    problem = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__(sentence(self.problem))


class EnrolmentError(NotPossible):
    """A daemon could not be enrolled."""


class AgentError(HostsError):
    """A call to a host failed. `problem` is a stable word, the text a sentence for people."""

    problem = "unreachable"
    # Whether the host may have got what was asked all the same.
    may_have_arrived = False

    def __init__(self, reason: str = "") -> None:
        self.reason = reason or sentence(self.problem)
        super().__init__(self.reason)


class OutsideRanges(AgentError):
    problem = "outside_ranges"


class GivenUp(AgentError):
    """The host was denied or retired, or is not owned, and is not spoken to."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__()


class DuplicateIdentity(AgentError):
    """Two machines show the host's identity, so neither is spoken to."""

    problem = "duplicate_identity"


class RetryLater(AgentError):
    """Worth trying again."""


class Unreachable(RetryLater):
    problem = "unreachable"


class CircuitOpen(Unreachable):
    """Not tried, to spare host and server: the last attempts failed."""


class StreamEnded(RetryLater):
    """The host ended a stream. `code` is of RFC 6455 (1006: it just went), `detail` the reason it gave."""

    def __init__(self, code: int, detail: str) -> None:
        self.code = code
        self.detail = detail
        super().__init__()


class TimedOut(RetryLater):
    problem = "timed_out"


class HostBusy(RetryLater):
    problem = "host_busy"


class RejectedByHost(AgentError):
    problem = "rejected_by_host"


class WrongIdentity(AgentError):
    problem = "wrong_identity"


class CertificateOutOfDate(AgentError):
    problem = "certificate_expired"


class ProtocolError(AgentError):
    problem = "bad_answer"
    may_have_arrived = True

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(sentence(self.problem, detail=detail))


class ProblemAnswer(AgentError):
    """The daemon's own refusal: `problem` is the `type` of its problem document (RFC 9457)."""

    def __init__(self, problem: str, status: int, detail: str) -> None:
        self.problem, self.status, self.detail = problem, status, detail
        # A defect may show before or after what was asked is written down; all else is refused before.
        self.may_have_arrived = status == HTTPStatus.INTERNAL_SERVER_ERROR
        try:
            told = str(SENTENCES[problem]) % {"detail": detail}
        except KeyError:  # a word of its own, or one whose sentence tells what only this server could know
            told = detail or problem
        super().__init__(told)
