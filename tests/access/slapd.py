"""A real slapd on the loopback, with some people and a group."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.virshmanager.serving import free_port

READER, READERS_PASSWORD = "cn=reader,dc=example", "read only"
USERS, GROUPS = "ou=people,dc=example", "ou=groups,dc=example"

CONFIGURATION = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCertificateFile {folder}/certificate.pem
TLSCertificateKeyFile {folder}/key.pem
database mdb
suffix "dc=example"
directory {folder}/data
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{reader}" read by * none
"""

ENTRIES = f"""
dn: dc=example
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: {USERS}
objectClass: organizationalUnit
ou: people

dn: {GROUPS}
objectClass: organizationalUnit
ou: groups

dn: {READER}
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: reader
userPassword: {READERS_PASSWORD}

dn: uid=eve,{USERS}
objectClass: inetOrgPerson
uid: eve
cn: Eve
sn: Eve
userPassword: eve's own

dn: uid=ada,{USERS}
objectClass: inetOrgPerson
uid: ada
cn: Another Ada
sn: Ada
userPassword: another ada's

dn: cn=lab,{GROUPS}
objectClass: groupOfNames
cn: lab
member: uid=eve,{USERS}
"""


class Slapd(NamedTuple):
    """Where it listens, and the file with the certificate by which it is believed."""

    plain: str
    tls: str
    authorities: str


@contextmanager
def slapd(folder: Path) -> Iterator[Slapd]:
    """Run one with its files in `folder`."""
    _make_certificate(folder)
    configuration = folder / "slapd.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder, reader=READER))
    (folder / "data").mkdir()
    subprocess.run(
        ["slapadd", "-f", configuration], input=ENTRIES, text=True, check=True, capture_output=True
    )
    ports = free_port(), free_port()
    found = Slapd(
        f"ldap://127.0.0.1:{ports[0]}", f"ldaps://127.0.0.1:{ports[1]}", str(folder / "certificate.pem")
    )
    command = ["slapd", "-d", "0", "-f", str(configuration), "-h", f"{found.plain} {found.tls}"]
    with subprocess.Popen(command) as server:
        try:
            for port in ports:
                _wait_for(port)
            yield found
        finally:
            server.terminate()


def _make_certificate(folder: Path) -> None:
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    of = ["-subj", "/CN=directory", "-addext", "subjectAltName=IP:127.0.0.1"]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run(["openssl", "req", "-x509", *key, *of, *files], check=True, capture_output=True)


def _wait_for(port: int) -> None:
    ends_at = time.monotonic() + 20
    while True:
        try:
            with closing(socket.create_connection(("127.0.0.1", port), timeout=1)):
                return
        except OSError:
            if time.monotonic() > ends_at:
                raise
            time.sleep(0.05)
