from __future__ import annotations

import pytest

from virshmanagerd.domainxml import Summary
from virshmanagerd.driver.cache import SummaryCache


def titled(title: str) -> Summary:
    return Summary(title=title, description=None, tags=[], vcpus=None, memory=None, max_memory=None)


def test_a_change_during_the_reading_is_not_missed() -> None:
    cache = SummaryCache()

    def read() -> Summary:
        cache.forget("a")  # the event comes while the old text is being read
        return titled("old")

    assert cache.get("a", read)["title"] == "old"
    assert cache.get("a", lambda: titled("new"))["title"] == "new"


def test_a_failed_reading_is_tried_again() -> None:
    cache = SummaryCache()
    with pytest.raises(ZeroDivisionError):
        cache.get("a", lambda: titled(str(1 // 0)))
    assert not cache._reading  # guests that end while they are read must not pile up
    assert cache.get("a", lambda: titled("new"))["title"] == "new"


def test_a_known_domain_is_not_read_again() -> None:
    cache = SummaryCache()
    cache.get("a", lambda: titled("once"))
    assert cache.get("a", lambda: titled("twice"))["title"] == "once"


def test_a_forgotten_domain_is_read_again() -> None:
    cache = SummaryCache()
    cache.get("a", lambda: titled("old"))
    cache.forget("a")
    assert cache.get("a", lambda: titled("new"))["title"] == "new"


def test_only_domains_that_still_exist_are_kept() -> None:
    cache = SummaryCache()
    cache.get("a", lambda: titled("a"))
    cache.get("b", lambda: titled("b"))
    cache.keep({"a"})
    assert cache.get("a", lambda: titled("again"))["title"] == "a"
    assert cache.get("b", lambda: titled("again"))["title"] == "again"
