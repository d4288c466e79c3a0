"""The outbox: what is refused to be repeated, and that all hear the same."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from virshmanagerd import outbox
from virshmanagerd.outbox import Outbox


class Paper:
    """A pipe that writes down what it is given."""

    def __init__(self, unsent: int = 0) -> None:
        self.unsent = unsent
        self.texts: list[dict[str, Any]] = []
        self.closed_with: int | None = None

    def send(self, data: bytes | str) -> None:
        self.texts.append(json.loads(data))

    def close(self, code: int = 1000, reason: str = "", *, discard: bool = False) -> None:
        assert reason
        assert discard
        self.closed_with = code

    def numbers(self) -> list[int]:
        """The sequence that came after the hello."""
        return [text["seq"] for text in self.texts[1:]]


def heard(box: Outbox, after: str) -> Paper:
    paper: Any = Paper()
    box.subscribe(paper, after, "j")
    assert isinstance(paper, Paper)
    return paper


def box_with(count: int) -> Outbox:
    box = Outbox("e")
    for number in range(count):
        box.publish("x", number=number)
    return box


@pytest.mark.parametrize(
    "after",
    ["", "e", "e:", "e:-1", "e:4", "other:2", ":2", "e:2:2", "e:\N{SUPERSCRIPT TWO}", "e:" + "9" * 99],
)
def test_what_cannot_be_repeated(after: str) -> None:
    (hello,) = heard(box_with(3), after).texts
    assert hello == {"type": "hello", "epoch": "e", "seq": 3, "journal_id": "j", "replayed": False}


def test_what_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "KEPT_EVENTS", 3)
    box = box_with(5)
    assert heard(box, "e:1").texts[0]["replayed"] is False
    assert heard(box, "e:2").numbers() == [3, 4, 5]


def test_what_is_kept_has_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "KEPT_BYTES", 120)
    assert heard(box_with(5), "e:1").texts[0]["replayed"] is False
    assert heard(box_with(5), "e:4").numbers() == [5]


def test_what_is_more_than_a_listing_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "REPLAYED_BYTES", 120)
    assert heard(box_with(5), "e:1").texts[0]["replayed"] is False


def test_who_does_not_read_is_told_to_come_again() -> None:
    box, slow = Outbox("e"), heard(Outbox("e"), "")
    reads: Any = slow
    box.subscribe(reads, "", None)
    slow.unsent = outbox.MOST_UNSENT + 1
    box.publish("x")
    box.publish("y")
    assert slow.closed_with == outbox.TOO_SLOW
    assert slow.numbers()[1:] == []


def test_an_event_of_an_epoch_that_is_over_is_none() -> None:
    box = box_with(1)
    paper = heard(box, "")
    box.publish("x", only_in="before")
    box.publish("y", only_in="e")
    assert [text["type"] for text in paper.texts] == ["hello", "y"]


def test_a_new_epoch_begins_anew() -> None:
    box = box_with(3)
    paper = heard(box, "e:3")
    box.begin("f")
    assert [(text["epoch"], text["seq"], text["type"]) for text in paper.texts[1:]] == [
        ("f", 1, "libvirt.up"),
        ("f", 2, "resync"),
    ]
    assert heard(box, "e:3").texts[0]["replayed"] is False
    assert heard(box, "f:1").numbers() == [2]


def test_who_left_hears_nothing() -> None:
    box = Outbox("e")
    paper: Any = heard(box, "")
    box.unsubscribe(paper)
    box.publish("x")
    assert paper.numbers() == []


def test_nothing_is_lost_between_hello_and_the_first_event_and_all_hear_the_same() -> None:
    box = Outbox("e")

    def publish_many() -> None:
        for _ in range(500):
            box.publish("x")

    threads = [threading.Thread(target=publish_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    papers = [heard(box, "e:0") for _ in range(20)]
    for thread in threads:
        thread.join()
    for paper in papers:
        assert paper.texts[0]["replayed"] is True
        assert paper.numbers() == list(range(1, 2001))
    assert papers[0].texts[1:] == papers[-1].texts[1:]
