"""Output of objects: HTML in a notebook, text elsewhere; the same for both clients."""

from __future__ import annotations

import sys

from tilebox._io.progress.bars import in_notebook

__all__ = ["in_notebook", "show_html", "show_text"]


def show_html(html: str) -> None:
    """Show HTML in the output of a notebook cell."""
    from IPython.display import HTML, display

    display(HTML(html))  # type: ignore[no-untyped-call,unused-ignore]


def show_text(text: str) -> None:
    """Write text to the standard output."""
    sys.stdout.write(f"{text}\n")
