"""Progress of long loads and ingests: a bar in a terminal or notebook, or a function of the caller's.

One file for both clients, since all of it happens in the caller's thread. A bar never spoils a load:
where none can be drawn, there is none. Many bars may be open at once, in tasks of a loop and in threads.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = ["Progress", "claim_label", "close_bar", "in_notebook", "open_bar", "release_label"]

# Positions are seconds of time or parts of a batch; the percentage and the datapoints beside it say more.
_BAR_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}{postfix}]"

_labels_lock = threading.Lock()
_labels: set[str] = set()


class Progress:
    """How far one load or ingest is.

    A bar appears with the second step only: what comes in one piece needs none.

    Args:
        show: True for a bar, False for nothing, or a function that is told the finished fraction.
        title: What the bar says in front; a number is added while another bar says the same.
        total: What the steps sum up to.
    """

    def __init__(self, show: bool | Callable[[float], object], *, title: str, total: float) -> None:
        self._callback = show if callable(show) else None
        self._wants_bar = show is True
        self._title = title
        self._label = ""
        self._total = total
        self._steps = 0
        self._rows = 0
        self._bar: Any = None

    def reach(self, position: float, rows: int) -> None:
        """Take note that everything up to a position is done.

        Args:
            position: Between 0 and the total.
            rows: Number of datapoints that this step brought.
        """
        self._steps += 1
        self._rows += rows
        position = min(max(position, 0.0), self._total)
        if self._callback is not None:
            self._callback(position / self._total if self._total else 1.0)
        if self._wants_bar and self._steps > 1:
            self._draw(position)

    def finish(self) -> None:
        """Take note that everything is done."""
        if self._callback is not None:
            self._callback(1.0)
        if self._bar is not None:
            self._draw(self._total)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.finish()
        if self._bar is not None:
            close_bar(self._bar)
            release_label(self._label)

    def _draw(self, position: float) -> None:
        if self._bar is None:
            self._label = claim_label(self._title)
            self._bar = open_bar(desc=self._label, total=self._total, bar_format=_BAR_FORMAT)
        self._bar.set_postfix_str(f"{self._rows} datapoints", refresh=False)
        self._bar.update(position - self._bar.n)


def open_bar(**options: Any) -> Any:
    """Return a bar for where this runs: a widget, else text, else (output to a file) nothing visible."""
    from tqdm.std import tqdm

    if not in_notebook():
        return tqdm(disable=None, **options)
    try:
        import ipywidgets  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: F401 tqdm only warns
        from tqdm.notebook import tqdm_notebook

        options.pop("bar_format")
        return tqdm_notebook(**options)
    except Exception:  # noqa: BLE001 widgets fail in many ways, none of which may spoil a load
        return tqdm(disable=False, file=sys.stdout, **options)


def close_bar(bar: Any) -> None:
    """Close a bar so that its last state stays, above the bars that are still open.

    tqdm would leave the last state in the bar's own line, which may lie between others that move up then, and one of
    which would be seen twice. As text it is written above all of them, and they are drawn anew.
    """
    if bar.disable or hasattr(bar, "container"):  # the latter is a widget, with a place of its own
        bar.close()
        return
    with bar.get_lock():
        last_state = str(bar)
        bar.leave = False
        bar.close()
        # Clearing a line below the first one leaves the cursor at that line's end.
        bar.write(f"\r{last_state}", file=bar.fp)


def claim_label(title: str) -> str:
    """Return a label that no open bar has: the title, or the title with a number."""
    with _labels_lock:
        label, number = title, 1
        while label in _labels:
            number += 1
            label = f"{title} ({number})"
        _labels.add(label)
        return label


def release_label(label: str) -> None:
    """Let others have a label that was claimed."""
    with _labels_lock:
        _labels.discard(label)


def in_notebook() -> bool:
    """Tell whether this runs in a kernel, whose output is a page."""
    shell = sys.modules.get("IPython")
    running = None if shell is None else shell.get_ipython()
    return running is not None and "IPKernelApp" in running.config
