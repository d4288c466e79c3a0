"""What a daemon asks to be signed. Of a signing request only the key is taken: names are ours to grant."""

from cryptography.hazmat.primitives.asymmetric import ec

from ..errors import BadPayload
from ..trust import keys
from ..untrusted import an_object


def requested_key(value: object) -> ec.EllipticCurvePublicKey:
    """Return the key of `{csr}`, whose holder signed it.

    Raises:
        BadPayload: when there is no such request.
    """
    csr = an_object(value, "the request for a certificate").get("csr")
    try:
        request, key = keys.request_key(csr.encode() if isinstance(csr, str) else b"")
    except ValueError:
        raise BadPayload("no signing request") from None
    if not request.is_signature_valid:
        raise BadPayload("a signing request that its key did not sign")
    return key
