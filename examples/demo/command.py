"""`python examples/demo`: a server, a week of Sentinel-2, queries from both clients, a map, a workflow.

With `--stac FILE` the catalogue is that file, imported as `tilebox import stac` does it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from demo import tour
from demo.transcript import Transcript
from tilebox.errors import TileboxError


def main(arguments: list[str] | None = None) -> int:
    """Run the demonstration.

    Args:
        arguments: The command line, by default the process's.

    Returns:
        The exit code.
    """
    given = _parser().parse_args(arguments)
    transcript = Transcript(sys.stdout)
    try:
        given.output.mkdir(parents=True, exist_ok=True)
        data_dir = given.output / "data"
        with tour.running_server(data_dir, transcript) as server:
            if given.stac is None:
                shown = tour.fill(server, transcript)
            else:
                shown = tour.fill_from_stac(server, given.stac, transcript)
            found = tour.query(server, shown, transcript)
            tour.query_concurrently(server, shown, transcript)
            tour.query_by_place_and_field(server, shown, transcript)
            tour.draw(found, shown, given.output, transcript)
            tour.cover(server, shown, given.output, transcript)
        tour.explain_next(data_dir, shown, transcript)
    except (TileboxError, ValueError, OSError, RuntimeError) as error:
        sys.stderr.write(f"\nError: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped; the server too.\n")
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python examples/demo", description="A tour of Tilebox on this machine.")
    parser.add_argument("--stac", metavar="FILE", help="STAC items to use instead of the computed week")
    parser.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        default=Path("tilebox-demo"),
        help="where the server's data and the maps go (default: %(default)s)",
    )
    return parser
