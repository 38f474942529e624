"""Load an interval from one collection with the official client; print seconds and datapoints as JSON.

usage: load_official.py URL TOKEN SLUG COLLECTION grpc|http1 START END
"""

import json
import resource
import sys
import time

from tilebox.datasets import Client

url, token, slug, name, transport, begin, end = sys.argv[1:]
client = Client(url=url, token=token, transport=transport)
collection = client.dataset(slug).collection(name)
start = time.perf_counter()
data = collection.query(temporal_extent=(begin, end))
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"seconds": seconds, "rows": data.sizes["time"], "peak_mib": peak / 1024}))
