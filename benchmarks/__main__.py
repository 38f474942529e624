"""`python -m benchmarks [NAME …] [--large ROWS]`: run all measurements, or the named ones, and print one table."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
from datetime import UTC, datetime

from benchmarks.measure import Table

NAMES = ("imports", "points", "ingest", "load", "concurrent", "items", "workflows")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], help="which to run; all if none is named")
    parser.add_argument("--large", type=int, metavar="ROWS", help="points: measure a table of so many rows as well")
    given = parser.parse_args()
    options = {"points": {"large": given.large}}
    table = Table()
    for name in given.names or NAMES:
        importlib.import_module(f"benchmarks.{name}").main(table, **options.get(name, {}))
    when = datetime.now(UTC).date().isoformat()
    print(
        f"\n{when}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}, CPython {platform.python_version()}\n"
    )
    print(table)


if __name__ == "__main__":
    main()
