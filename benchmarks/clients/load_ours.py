"""Load everything from one collection with our client; print seconds, datapoints and peak memory as JSON.

usage: load_ours.py URL TOKEN SLUG COLLECTION arrow|lazy|pages
"""

from __future__ import annotations

import json
import resource
import sys
import time

from tilebox.datasets import Client

url, token, slug, name, mode = sys.argv[1:]
import pandas  # noqa: E402, F401 - imports are not what is measured here
import xarray  # noqa: E402, F401

client = Client(url, token)
collection = client.dataset(slug).collection(name)
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
data = collection.load(("2015-01-01", "2026-01-01"), lazy=mode == "lazy")
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
size = (
    sum(variable.nbytes if variable.dtype != object else variable.size * 8 for variable in data.variables.values())
    if mode != "lazy"
    else 0
)
print(
    json.dumps(
        {
            "seconds": seconds,
            "rows": data.sizes["time"],
            "peak_mib": peak / 1024,
            "base_mib": base / 1024,
            "size_mib": size / 2**20,
        }
    )
)
