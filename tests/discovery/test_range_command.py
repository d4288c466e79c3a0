"""`manage.py range`: a network is named, and nothing is sent to it."""

import pytest
from django.core.management import CommandError, call_command

from discovery.models import Crawl, Range

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("arguments", [("192.0.2.1/24",), ("192.0.2.0/24", "--port", "0")])
def test_what_is_wrong_is_refused_with_status_2(arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError) as refusal:
        call_command("range", *arguments)
    assert refusal.value.returncode == 2
    assert not Range.objects.exists()


def test_it_makes_a_range_and_changes_its_port() -> None:
    for port in (16510, 17000):
        call_command("range", "192.0.2.0/24", "--port", str(port))
        assert Range.objects.get().port == port
    assert not Crawl.objects.exists()
