"""One field of many datapoints at once: as numpy arrays, Arrow arrays, or fields of protobuf messages.

May import: `geometry`, `schema`, and the rooms above them.
"""
