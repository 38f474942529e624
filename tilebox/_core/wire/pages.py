"""Paging without IO: which page to ask for next, and whether the answer can be right.

A page that repeats a cursor or goes backwards would lead to datapoints twice, or for ever; one that
is empty but names a next one is fine, for a server may have filtered everything out.
"""

from __future__ import annotations

from typing import Literal

from tilebox._core.protocol.tilebox.v1 import query_pb2
from tilebox._core.values import ids
from tilebox.errors import PageError


class Pages:
    """The state of one walk through pages.

    Args:
        limit: Number of entries wanted in all, or None for all there are.
        page_size: Number of entries to ask for in one page, or None for what the server likes best.
        order: How the ids of the entries move on, or None if they come in an order of their own.
    """

    def __init__(
        self,
        *,
        limit: int | None = None,
        page_size: int | None = None,
        order: Literal["ascending", "descending"] | None = "ascending",
    ) -> None:
        self._limit = limit
        self._page_size = page_size
        self._order = order
        self._next: query_pb2.Pagination | None = query_pb2.Pagination()
        self.rows = 0
        self.pages = 0

    def next_request(self) -> query_pb2.Pagination | None:
        """Return the page to ask for, or None when there is none left."""
        if self._next is None or self.remaining == 0:
            return None
        request = query_pb2.Pagination()
        request.CopyFrom(self._next)
        size = min((n for n in (self._page_size, self.remaining) if n is not None), default=None)
        if size is not None:
            request.limit = size
        return request

    def feed(self, rows: int, following: query_pb2.Pagination) -> int:
        """Take note of a page that arrived.

        Args:
            rows: Number of its entries.
            following: The page that the server names as the next one.

        Returns:
            How many of its entries are wanted: all, unless the limit cuts them.

        Raises:
            PageError: The cursor does not move forward.
        """
        if self._next is None:
            raise PageError("a page arrived after the last one")
        wanted = rows if self.remaining is None else min(rows, self.remaining)
        self.rows += wanted
        self.pages += 1
        self._next = self._checked(following) if following.HasField("starting_after") else None
        return wanted

    @property
    def remaining(self) -> int | None:
        """Number of entries still wanted, or None without a limit."""
        return None if self._limit is None else self._limit - self.rows

    def _checked(self, following: query_pb2.Pagination) -> query_pb2.Pagination:
        cursor = following.starting_after.uuid
        if len(cursor) != 16:
            raise PageError(f"page {self.pages} ends in a cursor of {len(cursor)} bytes instead of 16")
        if self._next is not None and self._next.HasField("starting_after"):
            previous = self._next.starting_after.uuid
            if cursor == previous:
                raise PageError(f"page {self.pages} repeats the cursor of the page before, which would never end")
            moved_on = ids.sort_key(cursor) > ids.sort_key(previous)
            if self._order is not None and moved_on is (self._order == "descending"):
                way = "forward" if moved_on else "back"
                raise PageError(f"page {self.pages} goes {way} in time, which would repeat entries")
        return following
