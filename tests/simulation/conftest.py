"""The simulator of all seeds. Each seed rolls back its changes of the database."""

from __future__ import annotations

import gc
import logging

import pytest
from simulation.world import Simulator


@pytest.fixture(scope="session")
def simulator():
    made = Simulator()
    # Objects from before the seeds stay alive. Without freezing, searching them for garbage takes a tenth of the time.
    gc.collect()
    gc.freeze()
    yield made
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _quiet():
    """Switch logging off: servers would log every fault, and the history of a seed says more."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
