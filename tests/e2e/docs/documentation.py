"""The text copy of Tilebox's documentation: its snippets, and which of them tests have claimed to run."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

VARIABLE = "TILEBOX_DOCUMENTATION"
"""The environment variable with the path of the copy, which is not ours to keep here."""

# From each of these headings to the next one below.
_PARTS = [
    (
        "# Client \n```python\nclass Client(url: str, token: str)\n```\n Create a Tilebox workflows",
        "# Authentication To",
    ),
    ("# Caches Sharing data", "# Cron triggers"),
]
_KINDS = re.compile(r"\s*(python|plaintext|bash)\b")
_TITLES = re.compile(r"^(python|plaintext|bash)\s+((Python|Output|\w+\.py)\s+)?(\{[\d,-]+\}\s+)?")

_claimed: list[str] = []


def covers(*openings: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Mark a test as one that runs the snippets that begin so.

    Args:
        openings: First words of snippets, with any line break as a space.
    """
    _claimed.extend(openings)
    return lambda test: test


def snippets_of_workflows() -> list[str]:
    """Return the snippets of the workflows reference and guides, each as one line.

    The copy lost line breaks, and with them which backquotes open a snippet and which close one; so whatever
    stands between two of them and names a language is taken.
    """
    path = os.environ.get(VARIABLE)
    if not path:
        pytest.skip(f"there is no text copy of the documentation: its path belongs into {VARIABLE}")
    text = Path(path).read_text()
    found = []
    for start, end in _PARTS:
        part = text[text.index(start) :]
        part = part[: part.index(end)]
        pieces = [" ".join(piece.split()) for piece in part.split("```") if _KINDS.match(piece)]
        found += [_TITLES.sub("", piece) for piece in pieces]
    return found


def unclaimed(snippets: list[str]) -> tuple[list[str], list[str]]:
    """Return the snippets that no test claims, and the claims that no snippet meets."""
    left_out = [snippet for snippet in snippets if not snippet.startswith(tuple(_claimed))]
    never_found = [claim for claim in _claimed if not any(snippet.startswith(claim) for snippet in snippets)]
    return left_out, never_found
