"""D9: the cost of an import, measured as the time of a process with it minus the time of one without it."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from benchmarks.measure import OFFICIAL, Table, official_missing

RUNS = 15


def main(table: Table) -> None:
    """Measure the import of this package and of the official one."""
    ours = import_milliseconds(sys.executable, "import tilebox.datasets")
    missing = official_missing()
    official = 0.0 if missing else import_milliseconds(str(OFFICIAL / "bin" / "python"), "import tilebox.datasets")
    peer, ratio = (missing, "–") if missing else (f"official {official:.0f} ms", f"{official / ours:.1f}×")
    table.add("D9", "import tilebox.datasets", f"{ours:.0f} ms", peer, ratio, "≤ 150 ms")


def import_milliseconds(python: str, statement: str) -> float:
    """Return the cost of a statement. Processes with and without it alternate, so noise affects both equally."""
    bare, full = [], []
    for _ in range(RUNS):
        bare.append(_process(python, "pass"))
        full.append(_process(python, statement))
    return (statistics.median(full) - statistics.median(bare)) * 1e3


def _process(python: str, statement: str) -> float:
    start = time.perf_counter()
    subprocess.run([python, "-P", "-c", statement], check=True, cwd="/")
    return time.perf_counter() - start
