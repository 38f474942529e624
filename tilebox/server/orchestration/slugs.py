"""Slugs made from display names: a readable part, then random letters that make the slug unique."""

from __future__ import annotations

import re
import secrets
import unicodedata

MAX_SLUG_CHARACTERS = 100
SLUG = re.compile(r"[A-Za-z0-9-]{1,100}")

# Base 58 leaves out 0, O, I and l, which look alike.
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_RANDOM_CHARACTERS = 14


def make_slug(name: str) -> str:
    """Return a new slug for a name, at most 100 characters long.

    >>> make_slug("Sentinel-2, Zürich")[:18]
    'sentinel-2-zurich-'
    """
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    readable = re.sub(r"[^a-z0-9]+", "-", ascii_name)[: MAX_SLUG_CHARACTERS - _RANDOM_CHARACTERS - 1].strip("-")
    suffix = "".join(secrets.choice(_BASE58) for _ in range(_RANDOM_CHARACTERS))
    return f"{readable}-{suffix}" if readable else suffix
