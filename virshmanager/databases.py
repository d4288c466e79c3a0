"""The database as a whole, as one file: by SQLite's own backup, or by PostgreSQL's own programs."""

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Final

from django.db import DatabaseError, connection

# What libpq takes from the environment (libpq, 34.15): a password is in no list of processes.
LIBPQ: Final = {"dbname": "PGDATABASE"} | {
    name: f"PG{name.upper()}"
    for name in (
        *("host", "port", "user", "password", "passfile", "service"),
        *("sslmode", "sslrootcert", "sslcert", "sslkey"),
    )
}
PLAIN: Final = ("--no-owner", "--no-privileges")
# A dump tells to drop what is in it. A newer version may have made tables that refer to those. What another
# user has in the schema stays.
DROP_ALL: Final = """SET client_min_messages = warning;
DO $$
DECLARE found text;
BEGIN
    FOR found IN
        SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tableowner = current_user
    LOOP
        EXECUTE format('DROP TABLE %I CASCADE', found);
    END LOOP;
END $$;
"""


class DumpError(Exception):
    """The database cannot be copied. One line of text."""


def is_empty() -> bool:
    """Whether there is no table. One that cannot be read is not empty."""
    try:
        return not connection.introspection.table_names()
    except DatabaseError:
        return False


def dump(path: Path) -> None:
    """Write all of the database to `path`, as of one moment. It may be in use. Raises DumpError."""
    if connection.vendor == "postgresql":
        _run("pg_dump", "--format=custom", *PLAIN, f"--file={path}")
        return
    try:
        with (
            closing(sqlite3.connect(f"{file().as_uri()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(path)) as target,
        ):
            source.backup(target)
    except sqlite3.Error as error:
        raise DumpError(f"SQLite refused: {error}.") from None


def check(path: Path) -> None:
    """Look whether a dump is whole. Raises DumpError."""
    if connection.vendor == "postgresql":
        _run("pg_restore", "--list", str(path))
        return
    try:
        with closing(sqlite3.connect(path)) as copy:
            found = str(copy.execute("PRAGMA integrity_check").fetchone()[0])
    except sqlite3.DatabaseError as error:
        found = str(error)
    if found != "ok":
        raise DumpError(f"The database in the backup is damaged: {found}.")


def bring(path: Path) -> Path:
    """Have a dump where it only has to be renamed: SQLite's may lie on another disk, which may be full."""
    if connection.vendor == "postgresql":
        return path
    beside = file().with_name(f".{file().name}.restored")
    try:
        shutil.move(path, beside)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    return beside


def load(path: Path) -> None:
    """Put what `bring` returned in the place of all there is: whole, or not at all. Raises DumpError."""
    connection.close()
    if connection.vendor == "postgresql":
        script, first = path.with_name(f"{path.name}.sql"), path.with_name("drop.sql")
        first.write_text(DROP_ALL)
        _run("pg_restore", "--clean", "--if-exists", *PLAIN, f"--file={script}", str(path))
        whole = ("--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1")
        _run("psql", *whole, f"--file={first}", f"--file={script}")
        return
    path.replace(file())


def file() -> Path:
    """Where SQLite has it."""
    return Path(str(connection.settings_dict["NAME"])).absolute()


def files() -> list[Path]:
    """The files that would speak against another database in their place: SQLite's, with its log."""
    if connection.vendor == "postgresql":
        return []
    paths = [file().with_name(file().name + suffix) for suffix in ("-wal", "-shm", "")]
    return [path for path in paths if path.exists()]


def _run(program: str, *arguments: str) -> None:
    if shutil.which(program) is None:
        raise DumpError(f"{program} is not installed: it is in Debian's postgresql-client.")
    parameters = connection.get_connection_params()
    said = {LIBPQ[name]: str(value) for name, value in parameters.items() if name in LIBPQ and value}
    ended = subprocess.run(  # noqa: S603 -- PostgreSQL's own
        [program, *arguments],
        env=os.environ | said,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if ended.returncode:
        reason = (ended.stderr.splitlines() or [f"{program} ended with {ended.returncode}"])[0]
        raise DumpError(f"PostgreSQL refused: {reason}")
