"""The demo: a computed week of Sentinel-2 acquisitions as a dataset, queries of it, and maps.

`python examples/demo` runs it. The satellites follow their published orbital elements, propagated with SGP4. A rule
determines what they acquire, and the clouds are random: no datapoint describes an existing image.

May import: `tilebox`, numpy, shapely, and the dependency group `demo` (sgp4, matplotlib).
"""
