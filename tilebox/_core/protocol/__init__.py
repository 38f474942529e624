"""Messages of the wire, generated from `proto/` by `scripts/protocol.py`; do not edit below this folder.

May import: google.protobuf.
"""
