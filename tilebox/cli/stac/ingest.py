"""Ingest of a batch without the datapoints that the server rejects, which bisection finds."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tilebox.datasets.sync.timeseries import TimeseriesCollection

# Bisection takes 2 log2(n) requests to find one invalid datapoint among n. If the server rejects nearly all of them, the
# reason is unlikely to be in the items, and a request for each would take minutes.
_MAX_REJECTIONS = 1000

# What the error of a batch of one datapoint says before the reason itself.
_PREAMBLE = re.compile(r"^1 of 1 datapoints rejected, nothing of this batch was stored: datapoint 0: |^Row 0: ")


@dataclass
class IngestCounts:
    """The result of ingesting a batch.

    Args:
        created: The number of new datapoints.
        existing: The number of datapoints that existed already. A batch of several requests may be rejected after some
            of them were stored; their datapoints count here, because the batch is then sent again in halves.
        rejected: The reasons by row, for datapoints that the server or the check of the client rejected.
    """

    created: int = 0
    existing: int = 0
    rejected: dict[int, str] = field(default_factory=dict)


def ingest_valid(collection: TimeseriesCollection, columns: dict[str, Any]) -> IngestCounts:
    """Ingest the valid datapoints of a batch.

    If the batch is rejected, its halves are ingested, and so on down to single datapoints.

    Args:
        collection: The collection.
        columns: The values by field name, all of the same length.

    Raises:
        ValueError: Too many batches and datapoints were rejected.
        TileboxError: The ingest failed for a reason that does not lie in a datapoint.
    """
    result, rejections = IngestCounts(), 0
    rows = len(columns["time"])
    pending = [(0, rows)]
    while pending:
        start, stop = pending.pop()
        part = {name: values[start:stop] for name, values in columns.items()}
        try:
            ingested = collection.ingest(part, show_progress=stop - start == rows)
        except ValueError as error:  # the server's error for invalid arguments is a ValueError too
            rejections += 1
            if rejections > _MAX_REJECTIONS:
                error.add_note(
                    f"{len(result.rejected)} items were refused one by one before that, so the import stopped"
                )
                raise
            if stop - start == 1:
                result.rejected[start] = _PREAMBLE.sub("", str(error))
            else:
                middle = (start + stop) // 2
                pending += [(middle, stop), (start, middle)]
        else:
            result.created += ingested.created
            result.existing += ingested.existing
    return result
