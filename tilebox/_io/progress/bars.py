"""The progress of long loads and ingests: a bar in a terminal or notebook, or a callback.

Both clients share this file, because everything happens in the caller's thread. A bar never breaks a load: if it
cannot be drawn, there is none. Several bars may be open at once, in tasks of a loop and in threads.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = ["Progress", "claim_label", "close_bar", "in_notebook", "open_bar", "release_label"]

# Without tqdm's counts: positions are seconds of an interval or rows, less useful than percentage and datapoints.
_BAR_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}{postfix}]"

_labels_lock = threading.Lock()
_labels: set[str] = set()


class Progress:
    """The progress of one load or ingest.

    The bar appears with the second step, so that a load of a single step shows none.

    Args:
        show: True for a bar, False for nothing, or a function that is called with the finished fraction.
        title: The label of the bar, which gets a number while another bar has the same label.
        total: The position at the end.
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

    def update(self, position: float, rows: int) -> None:
        """Record that everything up to a position is done.

        Args:
            position: The position, between 0 and the total.
            rows: The number of datapoints of this step.
        """
        self._steps += 1
        self._rows += rows
        position = min(max(position, 0.0), self._total)
        if self._callback is not None:
            self._callback(position / self._total if self._total else 1.0)
        if self._wants_bar and self._steps > 1:
            self._draw(position)

    def finish(self) -> None:
        """Record that everything is done."""
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
    """Return a bar: a widget in a notebook, text in a terminal, nothing visible if the output is a file."""
    from tqdm.std import tqdm

    if not in_notebook():
        return tqdm(disable=None, **options)
    try:
        import ipywidgets  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: F401 tqdm only warns
        from tqdm.notebook import tqdm_notebook

        options.pop("bar_format")
        return tqdm_notebook(**options)
    except Exception:  # noqa: BLE001 widgets fail in many ways, none of which may break a load
        return tqdm(disable=False, file=sys.stdout, **options)


def close_bar(bar: Any) -> None:
    """Close a bar, and leave its last state above the bars that are still open.

    tqdm itself would leave the last state in the bar's own line. If that line is between others, those move up, and one
    of them would appear twice. So the last state is written as text above all bars, which are drawn again.
    """
    if bar.disable or hasattr(bar, "container"):  # a widget has its own place in the notebook
        bar.close()
        return
    with bar.get_lock():
        last_state = str(bar)
        bar.leave = False
        bar.close()
        # Clearing a line below the first one leaves the cursor at that line's end.
        bar.write(f"\r{last_state}", file=bar.fp)


def claim_label(title: str) -> str:
    """Return a label that no open bar has: the title, with a number if necessary."""
    with _labels_lock:
        label, number = title, 1
        while label in _labels:
            number += 1
            label = f"{title} ({number})"
        _labels.add(label)
        return label


def release_label(label: str) -> None:
    """Release a claimed label."""
    with _labels_lock:
        _labels.discard(label)


def in_notebook() -> bool:
    """Return whether the code runs in a Jupyter kernel."""
    shell = sys.modules.get("IPython")
    running = None if shell is None else shell.get_ipython()
    return running is not None and "IPKernelApp" in running.config
