"""Progress: drawn where it can be seen, silent where it would spoil a log, and never in the way."""

from __future__ import annotations

import io
import itertools
import sys

import pytest
from support.servers.terminal import screen_of

from tilebox._io.progress import bars
from tilebox._io.progress.bars import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(show, steps=3, error=None):
    with Progress(show, title="Fetching x", total=10.0) as bar:
        for step in range(1, steps + 1):
            bar.update(step * 10 / steps, rows=100)
        if error is not None:
            raise error


def test_a_terminal_shows_a_bar_from_the_second_step_on(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    run(show=True, steps=1)
    assert sys.stderr.getvalue() == ""
    run(show=True)
    assert "Fetching x: 100%" in sys.stderr.getvalue()
    assert "300 datapoints" in sys.stderr.getvalue()


def test_two_bars_at_once(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Progress(True, title="one", total=1.0) as one, Progress(True, title="two", total=1.0) as two:
        for step in (0.3, 0.6):
            one.update(step, 1)
            two.update(step, 1)
    assert "one: 100%" in sys.stderr.getvalue()
    assert "two: 100%" in sys.stderr.getvalue()


IN_A_TERMINAL = """
from tilebox._io.progress.bars import Progress

bars = [Progress(True, title=title, total=4.0) for title in {titles!r}]
for bar in bars:
    bar.update(0.5, 10)
    bar.update(1.0, 10)
for place in {order!r}:
    bars[place].update(3.0, 80)
    bars[place].__exit__(None, None, None)
    for bar in bars:
        bar._bar.refresh()
print("done")
"""


@pytest.mark.parametrize("order", [*itertools.permutations(range(3)), (3, 1, 0, 2)], ids=str)
def test_a_terminal_keeps_every_bar_once_in_the_order_they_end(order):
    titles = ["first", "second", "third", "fourth"][: len(order)]
    lines = screen_of(IN_A_TERMINAL.format(titles=titles, order=order))
    assert [line.partition(":")[0] for line in lines] == [*[titles[place] for place in order], "done"]
    assert all(": 100%|" in line and "100 datapoints" in line for line in lines[: len(order)])


def test_bars_of_one_title_are_told_apart():
    lines = screen_of(IN_A_TERMINAL.format(titles=["x", "x", "y", "x"], order=[0, 1, 2, 3]))
    assert [line.partition(":")[0] for line in lines] == ["x", "x (2)", "y", "x (3)", "done"]


def test_bars_of_threads_leave_no_rest():
    program = """
import threading
from tilebox._io.progress.bars import Progress

def load(number, together):
    with Progress(True, title=f"load {number}", total=20.0) as bar:
        for step in range(20):
            together.wait()
            bar.update(step, 5)

together = threading.Barrier(4)
threads = [threading.Thread(target=load, args=(number, together)) for number in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("done")
"""
    lines = screen_of(program)
    assert sorted(line.partition(": 100%")[0] for line in lines[:4]) == [f"load {number}" for number in range(4)]
    assert lines[4:] == ["done"]


def test_a_bar_that_an_error_ends_stays_as_it_was():
    program = """
from tilebox._io.progress.bars import Progress

try:
    with Progress(True, title="x", total=4.0) as bar:
        bar.update(1.0, 5)
        bar.update(2.0, 5)
        raise RuntimeError
except RuntimeError:
    print("failed")
"""
    first, *rest = screen_of(program)
    assert first.startswith("x:  50%|")
    assert rest == ["failed"]


@pytest.mark.parametrize("show", [True, False])
def test_a_file_gets_nothing(show, capsys):
    run(show)
    assert capsys.readouterr() == ("", "")


def test_a_notebook_without_widgets_gets_text(monkeypatch, capsys):
    monkeypatch.setattr(bars, "in_notebook", lambda: True)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    run(show=True)
    output = capsys.readouterr()
    assert "Fetching x: 100%" in output.out
    assert output.err == ""


def test_a_function_is_told_fractions_and_the_end():
    told = []
    run(told.append, steps=4)
    assert told == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_an_error_passes_and_is_not_the_end():
    told = []
    with pytest.raises(RuntimeError, match="stop"):
        run(told.append, steps=4, error=RuntimeError("stop"))
    assert told == [0.25, 0.5, 0.75, 1.0]


def test_positions_outside_are_drawn_at_the_ends():
    told = []
    with Progress(told.append, title="x", total=10.0) as bar:
        bar.update(-5, 1)
        bar.update(99, 1)
    assert told == [0.0, 1.0, 1.0]
    with Progress(told.append, title="x", total=0.0) as bar:
        bar.update(0, 1)
    assert told[3:] == [1.0, 1.0]
