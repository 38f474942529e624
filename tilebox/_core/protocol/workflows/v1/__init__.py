"""Generated messages; see scripts/protocol.py."""
