"""A demonstration: a week of Sentinel-2 acquisitions, computed; a catalogue of them; a map of the catalogue.

`python examples/demo` runs it. The satellites fly as their published elements say, propagated with SGP4;
what they see is computed by rule, the clouds are random, and no datapoint describes an image that exists.

May import: the sync and the async client, what the command line's import and its invocation offer, numpy, shapely; sgp4 and matplotlib,
which the extra `demo` brings.
Never: the server, which it starts as a user would, as a process of its own.
"""
