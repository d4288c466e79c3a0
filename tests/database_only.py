"""A pytest plugin (`-p tests.database_only`) that keeps only the tests which use the database.

The second run of script/test, on PostgreSQL, would tell nothing new about the others.
"""

import pytest

DATABASE_FIXTURES = {"db", "transactional_db", "live_server"}
# Attacks that are refused before anything is asked of a database.
ELSEWHERE = {
    *("Command-line injection", "Cross-site request forgery", "Hostile daemon", "Open redirect"),
    *("Path traversal", "Server-side request forgery", "XML"),
}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    def uses_database(item: pytest.Item) -> bool:
        attack = item.get_closest_marker("attack")
        if attack is not None and attack.args[0] in ELSEWHERE:
            return False
        fixtures = set(getattr(item, "fixturenames", ()))
        return item.get_closest_marker("django_db") is not None or bool(fixtures & DATABASE_FIXTURES)

    others = [item for item in items if not uses_database(item)]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if uses_database(item)]
