"""Pagination without IO: the next page to request, and the checks of each page that arrives.

A page that repeats a cursor or goes backwards would repeat datapoints, or never end. An empty page with a next
page is valid, because the server may have filtered out all of its entries.
"""

from __future__ import annotations

from typing import Literal

from tilebox._core.protocol.tilebox.v1 import query_pb2
from tilebox._core.values import ids
from tilebox.errors import PageError


class Pages:
    """The state of one paginated request.

    Args:
        limit: The total number of entries to return, or None for all.
        page_size: The number of entries to request per page, or None for the server's default.
        order: The order of the ids across pages, or None to accept any order.
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
        """Return the next page to request, or None after the last one."""
        if self._next is None or self.remaining == 0:
            return None
        request = query_pb2.Pagination()
        request.CopyFrom(self._next)
        size = min((n for n in (self._page_size, self.remaining) if n is not None), default=None)
        if size is not None:
            request.limit = size
        return request

    def feed(self, rows: int, following: query_pb2.Pagination) -> int:
        """Record a page that arrived.

        Args:
            rows: The number of its entries.
            following: The next page, as the server names it.

        Returns:
            The number of its entries to keep: all of them, unless the limit is reached.

        Raises:
            PageError: The cursor does not move on in the expected order.
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
        """The number of entries still to come, or None without a limit."""
        return None if self._limit is None else self._limit - self.rows

    def _checked(self, following: query_pb2.Pagination) -> query_pb2.Pagination:
        cursor = following.starting_after.uuid
        if len(cursor) != 16:
            raise PageError(f"page {self.pages} ends in a cursor of {len(cursor)} bytes instead of 16")
        if self._next is not None and self._next.HasField("starting_after"):
            previous = self._next.starting_after.uuid
            if cursor == previous:
                raise PageError(f"page {self.pages} repeats the cursor of the page before, so paging would never end")
            is_later = ids.sort_key(cursor) > ids.sort_key(previous)
            if self._order is not None and is_later is (self._order == "descending"):
                direction = "forward" if is_later else "back"
                raise PageError(f"page {self.pages} goes {direction} in time, which would repeat entries")
        return following
