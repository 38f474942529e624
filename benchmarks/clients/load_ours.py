"""Load everything from one collection with our client; print seconds, datapoints and memory as JSON.

usage: load_ours.py URL TOKEN SLUG COLLECTION arrow|lazy|pages

Memory is the process's resident set before the load, at its peak, and afterwards, when only the result is left. So the
size of the result includes its strings and shapely objects, unlike `nbytes`.
"""

from __future__ import annotations

import ctypes
import gc
import json
import resource
import sys
import time
from pathlib import Path

import pandas  # noqa: F401 - imports are not what is measured here
import pyarrow
import shapely  # noqa: F401
import xarray  # noqa: F401

from tilebox.datasets import Client


def resident_mib() -> float:
    """Return the current resident set of the process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


url, token, slug, name, mode = sys.argv[1:]
client = Client(url, token)
collection = client.dataset(slug).collection(name)
collection.load("1970-01-01")  # whatever is imported or opened on first use
if mode == "pages":
    # Load as from a server without the extension.
    collection._home.transport.offers = lambda _: False  # noqa: SLF001
base = resident_mib()
start = time.perf_counter()
data = collection.load(("2015-01-01", "2026-01-01"), lazy=mode == "lazy")
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
gc.collect()
pyarrow.default_memory_pool().release_unused()
ctypes.CDLL(None).malloc_trim(0)
left = resident_mib()
print(json.dumps({"seconds": seconds, "rows": data.sizes["time"], "peak_mib": peak - base, "size_mib": left - base}))
