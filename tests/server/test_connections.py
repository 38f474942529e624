"""Answers leave in one piece, and nothing that was written is lost or doubled."""

from __future__ import annotations

import asyncio

import pytest

from tilebox.server.connections import AT_ONCE_BYTES, Gathering

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


class Line:
    """The transport behind a connection, which remembers what was sent together."""

    def __init__(self):
        self.sent, self.closed = [], False

    def writelines(self, pieces):
        assert not self.closed
        self.sent.append(b"".join(pieces))

    def is_closing(self):
        return self.closed

    def close(self):
        self.closed = True

    def get_extra_info(self, name):
        return name


async def test_what_is_written_in_one_step_is_sent_together_and_what_is_large_at_once():
    line = Line()
    gathering = Gathering(line, asyncio.get_running_loop())
    for piece in (b"head", b"", b"body"):
        gathering.write(piece)
    assert line.sent == []
    await asyncio.sleep(0)
    assert line.sent == [b"headbody"]
    gathering.write(b"head")
    gathering.write(bytes(AT_ONCE_BYTES))
    assert [len(one) for one in line.sent[1:]] == [4 + AT_ONCE_BYTES]
    gathering.write(b"end")
    gathering.close()
    assert (line.sent[2:], line.closed) == ([b"end"], True)
    gathering.write(b"too late")
    await asyncio.sleep(0)
    assert len(line.sent) == 3
    assert gathering.get_extra_info("peername") == "peername"
