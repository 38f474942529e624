"""Command line of `python examples/demo`: a server, a week of Sentinel-2, queries, maps and a workflow.

With `--stac FILE`, the demo imports that file as `tilebox import stac` does, and shows it instead.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from demo import tour
from demo.transcript import Transcript
from tilebox.errors import TileboxError


def main(arguments: list[str] | None = None) -> int:
    """Run the demo.

    Args:
        arguments: The command line; by default that of the process.

    Returns:
        The exit code.
    """
    options = _parser().parse_args(arguments)
    transcript = Transcript(sys.stdout)
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        data_dir = options.output / "data"
        with tour.running_server(data_dir, transcript) as server:
            if options.stac is None:
                catalogue = tour.fill(server, transcript)
            else:
                catalogue = tour.fill_from_stac(server, options.stac, transcript)
            data = tour.query(server, catalogue, transcript)
            tour.query_concurrently(server, catalogue, transcript)
            tour.query_by_place_and_field(server, catalogue, transcript)
            tour.draw(data, catalogue, options.output, transcript)
            tour.map_coverage(server, catalogue, options.output, transcript)
        tour.explain_next(data_dir, catalogue, transcript)
    except (TileboxError, ValueError, OSError, RuntimeError) as error:
        sys.stderr.write(f"\nError: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped, including the server.\n")
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
        help="folder of the server's data and the maps (default: %(default)s)",
    )
    return parser
