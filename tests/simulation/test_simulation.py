"""The orchestrator by chance, in virtual time: ten thousand stories of what can go wrong, each told by its seed.

The real verbs, services, loops and runners' state machine run; only clocks, sockets, threads and the disk are of the
simulation. Whoever broke something finds the seed in the failure, its whole story, and the command that repeats it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BATCH = 250
SEEDS = 10_000 if os.environ.get("CI") else 1_000


def pytest_generate_tests(metafunc):
    if "seeds" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("seed")
        batches = [range(first, first + BATCH) for first in range(0, SEEDS, BATCH)]
        metafunc.parametrize("seeds", batches if chosen is None else [[chosen]], ids=lambda seeds: f"from {seeds[0]}")


def test_invariants_hold_whatever_happens(stage, seeds):
    computed = 0
    for seed in seeds:
        world = stage.play(seed)
        computed += len(world.ledger.computed)
    assert computed >= 2 * len(seeds) or len(seeds) == 1, "I8: hardly anything was done"


_PROGRAM = """
import hashlib, logging
from simulation.world import Stage

logging.disable(logging.CRITICAL)
stage = Stage()
for seed in range(40):
    world = stage.play(seed)
    print(seed, hashlib.sha256(world.story.encode()).hexdigest())
"""


TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("hash_seeds", [("1", "2")])
def test_a_seed_tells_the_same_story_in_every_process(hash_seeds):
    stories = []
    for hash_seed in hash_seeds:
        environment = {
            **os.environ,
            "PYTHONHASHSEED": hash_seed,
            "PYTHONPATH": os.pathsep.join(map(str, (TESTS, TESTS / "support"))),
        }
        command = [sys.executable, "-c", _PROGRAM]
        stories.append(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
    assert stories[0] == stories[1]
