"""The signer: the process that alone holds the key of the certificate authority. It loads no Django app.

    python -m hosts.trust.signer --folder FOLDER --socket SOCKET

`vault` keeps the key on the disk, `issuer` signs by it, `desk` decides what is signed, and `counter` is the
socket.
"""
