from __future__ import annotations

import libvirt
import pytest

from virshmanagerd.states import ACTIVE, REASONS, STATES, reason_word, state_word

BY_WORD = {word: number for number, word in enumerate(STATES)}

# Flags of virDomainShutdown, which share the prefix of the reasons for the state `shutdown`.
SHUTDOWN_FLAGS = {"DEFAULT", "ACPI_POWER_BTN", "GUEST_AGENT", "INITCTL", "SIGNAL", "PARAVIRT"}


@pytest.mark.parametrize("number", [-1, 8, 2**31])
def test_a_state_of_a_newer_libvirt_is_unknown(number: int) -> None:
    assert state_word(number) == "unknown"
    assert reason_word(number, 1) == "unknown"


def test_a_reason_of_a_newer_libvirt_is_unknown() -> None:
    assert reason_word(BY_WORD["running"], 99) == "unknown"
    assert reason_word(BY_WORD["running"], -1) == "unknown"


@pytest.mark.parametrize("word", STATES[1:])
def test_states_are_libvirts(word: str) -> None:
    assert state_word(getattr(libvirt, f"VIR_DOMAIN_{word.upper()}")) == word


@pytest.mark.parametrize("state", sorted(REASONS))
def test_reasons_are_libvirts(state: str) -> None:
    prefix = f"VIR_DOMAIN_{state.upper()}_"
    known = {
        name: value
        for name, value in vars(libvirt).items()
        if name.startswith(prefix) and name.removeprefix(prefix) not in SHUTDOWN_FLAGS
    }
    assert known
    for name, value in known.items():
        assert reason_word(BY_WORD[state], value) == name.removeprefix(prefix).lower()


def test_what_a_reason_means_depends_on_the_state() -> None:
    assert reason_word(BY_WORD["running"], 1) == "booted"
    assert reason_word(BY_WORD["shutoff"], 1) == "shutdown"


def test_active_states_are_states() -> None:
    assert set(STATES) > ACTIVE
