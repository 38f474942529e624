"""A demonstration: a week of Sentinel-2 acquisitions, computed; a catalogue of them; a map of the catalogue.

`python examples/demo` runs it. The satellites follow their published orbital elements, propagated with SGP4.
A rule decides what they acquire, and the clouds are random: no datapoint describes an image that exists.

May import: `tilebox`, numpy, shapely, and the dependency group `demo` (sgp4, matplotlib).
"""
