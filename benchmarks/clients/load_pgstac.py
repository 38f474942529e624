"""Load all items of one search with pystac-client into a GeoDataFrame; print seconds and items as JSON.

usage: load_pgstac.py URL COLLECTION items|dicts
"""

import json
import sys
import time

import geopandas
import pystac_client

url, collection, mode = sys.argv[1:]
client = pystac_client.Client.open(url)
next(client.search(collections=[collection], limit=1, max_items=1).items())  # warm-up
start = time.perf_counter()
search = client.search(collections=[collection], limit=1000)
if mode == "items":
    features = [item.to_dict(transform_hrefs=False) for item in search.items()]
else:
    features = list(search.items_as_dicts())
frame = geopandas.GeoDataFrame.from_features(features, crs=4326)
print(json.dumps({"seconds": time.perf_counter() - start, "rows": len(frame)}))
