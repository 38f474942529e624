"""Programs in a pseudo terminal, and the final content of its screen."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

_TOKEN = re.compile(r"\x1b\[(\d*)A|(\x1b\[\d*[A-Za-z])|([\s\S])")


def screen_of(program: str, *, rows: int = 30, columns: int = 100) -> list[str]:
    """Run a Python program in a terminal, and return the lines of its screen without trailing blank ones."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True
    ) as process:
        os.close(theirs)
        output = _read_all(ours)
    os.close(ours)
    assert process.returncode == 0, output
    return _screen(output)


def _read_all(descriptor: int) -> str:
    data = b""
    try:
        while piece := os.read(descriptor, 65_536):
            data += piece
    except OSError:  # on Linux, the other side is closed
        pass
    return data.decode()


def _screen(output: str) -> list[str]:
    lines: list[list[str]] = [[]]
    row = column = 0
    for match in _TOKEN.finditer(output):
        up, other, character = match.groups()
        if character is None:
            assert other is None, f"a sequence that this terminal does not know: {other!r}"
            row = max(0, row - int(up or 1))
        elif character == "\r":
            column = 0
        elif character == "\n":
            row += 1
            lines += [[] for _ in range(row + 1 - len(lines))]
        else:
            line = lines[row]
            line += " " * (column + 1 - len(line))
            line[column] = character
            column += 1
    return "\n".join("".join(line).rstrip() for line in lines).rstrip("\n").split("\n")
