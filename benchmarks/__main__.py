"""Command line `python -m benchmarks [NAME …] [--large ROWS]`: run all or the named benchmarks and print one table."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
from datetime import UTC, datetime

from benchmarks.measure import Table

MODULES = {
    "imports": "benchmarks.imports",
    "points": "benchmarks.datasets.points",
    "ingest": "benchmarks.datasets.ingest",
    "load": "benchmarks.datasets.load",
    "concurrent": "benchmarks.datasets.concurrent",
    "items": "benchmarks.datasets.items",
    "workflows": "benchmarks.workflows.comparison",
}


def main() -> None:
    """Run the benchmarks and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*MODULES, []], help="benchmarks to run; all by default")
    parser.add_argument("--large", type=int, metavar="ROWS", help="points: also measure a table of this many rows")
    arguments = parser.parse_args()
    options = {"points": {"large": arguments.large}}
    table = Table()
    for name in arguments.names or MODULES:
        importlib.import_module(MODULES[name]).main(table, **options.get(name, {}))
    date = datetime.now(UTC).date().isoformat()
    print(
        f"\n{date}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}, CPython {platform.python_version()}\n"
    )
    print(table)


if __name__ == "__main__":
    main()
