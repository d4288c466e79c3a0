"""A sample of the faults; `script/faults` tries all of them."""

from __future__ import annotations

import pytest

from .scenarios import SAMPLE, Scenario
from .site import Site

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]


@pytest.mark.parametrize("scenario", SAMPLE, ids=lambda scenario: scenario.name)
def test_one_true_verdict(fault_site: Site, scenario: Scenario) -> None:
    scenario.play(fault_site)
    fault_site.heal()
