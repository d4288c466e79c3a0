"""Pictures of numbers: sparklines, and the charts that static/charts.js draws."""

import re

import pytest
from django.template.loader import render_to_string

from domains.choices import SERIES, Kind
from domains.models import Domain
from hosts.models import Host
from virshmanager.templatetags.charts import sparkline


@pytest.mark.parametrize("points", [None, [], [None] * 30])
def test_nothing_measured_draws_nothing(points: list[float | None] | None) -> None:
    assert not sparkline(points)


def test_a_sparkline_has_gaps_and_words() -> None:
    drawn = sparkline([None, 0, 100, None, 50, None, None, None, 7.4])
    lines = re.findall(r'points="([^"]*)"', drawn)
    assert lines == ["3,19.0 6,1.0 12,10.0", "24,17.7 24,17.7"]
    assert 'aria-label="CPU of the last minutes, now 7 %"' in drawn
    assert "style" not in drawn


def test_a_number_that_cannot_be_stays_in_the_picture() -> None:
    assert 'points="0,19.0 3,1.0"' in sparkline([-5, 1e9])


@pytest.mark.parametrize(
    ("template", "kind", "context"),
    [
        ("domains/_charts.html", Kind.DOMAIN, {"domain": Domain(pk=7, memory=2**30)}),
        ("hosts/_charts.html", Kind.HOST, {"host": Host(pk=7, memory=None)}),
    ],
)
def test_charts_show_series_that_are_there(template: str, kind: Kind, context: dict[str, object]) -> None:
    drawn = render_to_string(template, context)
    shown = set(re.findall(r'data-series="([^"]*)"', drawn))
    assert shown
    assert shown <= SERIES[kind].keys()
    assert f'data-charts="/api/{kind.value}s/7/metrics/"' in drawn
    assert "style=" not in drawn
