"""Datapoints of a batch stored, all but those that the server refuses, which are found by halving the batch."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tilebox.datasets.sync.timeseries import TimeseriesCollection

# One bad datapoint among n costs 2 log2(n) requests. Where the server refuses nearly all of them the reason is
# hardly in the items, and asking for each would take minutes.
_MAX_REFUSALS = 1000

_PREAMBLE = re.compile(r"^1 of 1 datapoints rejected, nothing of this batch was stored: datapoint 0: |^Row 0: ")


@dataclass
class Stored:
    """What became of a batch.

    Args:
        created: Number of new datapoints.
        existing: Number of those that were there already. Where a batch was refused after parts of it were stored,
            which only batches of several requests can be, these parts count here.
        refused: Rows that the server, or the check before sending, did not take, with the reasons.
    """

    created: int = 0
    existing: int = 0
    refused: dict[int, str] = field(default_factory=dict)


def store(target: TimeseriesCollection, columns: dict[str, Any]) -> Stored:
    """Ingest a batch; if it is refused, ingest its halves, and so on down to the datapoints that are refused.

    Args:
        target: The collection.
        columns: Values by field name, all of one length.

    Raises:
        TileboxError: It failed for a reason that is not in a datapoint, or too many were refused.
    """
    stored, refusals = Stored(), 0
    waiting = [(0, len(columns["time"]))]
    while waiting:
        start, stop = waiting.pop()
        part = {name: values[start:stop] for name, values in columns.items()}
        try:
            done = target.ingest(part, show_progress=stop - start == len(columns["time"]))
        except ValueError as error:  # also what the server answers to arguments that it refuses
            refusals += 1
            if refusals > _MAX_REFUSALS:
                error.add_note(
                    f"{len(stored.refused)} items were refused one by one before that, so the import stopped"
                )
                raise
            if stop - start == 1:
                stored.refused[start] = _PREAMBLE.sub("", str(error))
            else:
                middle = (start + stop) // 2
                waiting += [(middle, stop), (start, middle)]
        else:
            stored.created += done.created
            stored.existing += done.existing
    return stored
