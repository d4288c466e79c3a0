"""What a daemon asks to be signed. Of a signing request only the key is taken: names are ours to grant."""

from ..errors import BadPayload
from ..trust import keys
from ..trust.keys import SigningRequest
from ..untrusted import an_object


def signing_request(value: object) -> SigningRequest:
    """Return the request of `{csr}`, whose holder signed it.

    Raises:
        BadPayload: when there is no such request.
    """
    csr = an_object(value, "the request for a certificate").get("csr")
    try:
        return keys.read_request(csr.encode() if isinstance(csr, str) else b"")
    except ValueError:
        raise BadPayload("no signing request that its key signed") from None
