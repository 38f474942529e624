"""The database of all seeds, which each leaves as it found it."""

from __future__ import annotations

import gc
import logging

import pytest
from simulation.world import Stage


@pytest.fixture(scope="session")
def stage():
    made = Stage()
    # What is there before is no garbage of seeds; looking through it again and again takes a tenth of the time.
    gc.collect()
    gc.freeze()
    yield made
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _quiet():
    """What servers log of faults would be most of what is printed; the story of a seed says more."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
