"""Command line `python -m benchmarks [NAME …] [--large ROWS]`: run all or the named benchmarks and print one table."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
from datetime import UTC, datetime

from benchmarks.measure import Table

NAMES = ("imports", "points", "ingest", "load", "concurrent", "items", "workflows")


def main() -> None:
    """Run the benchmarks and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], help="benchmarks to run; all by default")
    parser.add_argument("--large", type=int, metavar="ROWS", help="points: also measure a table of this many rows")
    arguments = parser.parse_args()
    options = {"points": {"large": arguments.large}}
    table = Table()
    for name in arguments.names or NAMES:
        importlib.import_module(f"benchmarks.{name}").main(table, **options.get(name, {}))
    date = datetime.now(UTC).date().isoformat()
    print(
        f"\n{date}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}, CPython {platform.python_version()}\n"
    )
    print(table)


if __name__ == "__main__":
    main()
