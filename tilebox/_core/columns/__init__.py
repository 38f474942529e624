"""Columns of datapoints, and their conversion between numpy arrays, Arrow arrays and protobuf messages.

May import: `geometry`, `schema`, and the rooms above them.
"""
