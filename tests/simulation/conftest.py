"""The database of all seeds, which each leaves as it found it."""

from __future__ import annotations

import logging

import pytest
from simulation.world import Stage


@pytest.fixture(scope="session")
def stage():
    return Stage()


@pytest.fixture(autouse=True)
def _quiet():
    """What servers log of faults would be most of what is printed; the story of a seed says more."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
