"""Paging: nothing twice, nothing lost, and never for ever."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilebox._core.protocol.tilebox.v1 import id_pb2, query_pb2
from tilebox._core.values import ids
from tilebox._core.wire.pages import Pages
from tilebox.errors import PageError

END = query_pb2.Pagination()


def cursor(number: int) -> query_pb2.Pagination:
    return query_pb2.Pagination(starting_after=id_pb2.ID(uuid=number.to_bytes(6, "big", signed=True) + bytes(10)))


@given(st.integers(0, 60), st.integers(1, 12), st.integers(1, 12), st.one_of(st.none(), st.integers(1, 70)))
def test_a_walk_finds_every_row_once(rows, asked, served, limit):
    pages, found, position, requests = Pages(limit=limit, page_size=asked), [], 0, 0
    while (request := pages.next_request()) is not None:
        assert request.starting_after.uuid == (cursor(position - 1).starting_after.uuid if position else b"")
        size = min(served, request.limit)
        page = list(range(position, min(rows, position + size)))
        position += len(page)
        wanted = pages.feed(len(page), cursor(position - 1) if position < rows else END)
        found += page[:wanted]
        requests += 1
    assert found == list(range(rows))[:limit]
    assert pages.rows == len(found)
    assert pages.pages == requests


def test_the_first_request_is_empty_and_later_ones_repeat_what_the_server_named():
    pages = Pages()
    assert pages.next_request() == query_pb2.Pagination()
    following = cursor(5)
    following.limit = 77
    pages.feed(3, following)
    assert pages.next_request() == following


def test_an_empty_page_with_a_cursor_is_not_the_end():
    pages = Pages()
    pages.next_request()
    assert pages.feed(0, cursor(5)) == 0
    assert pages.next_request() is not None


def test_a_page_longer_than_wanted_is_cut():
    pages = Pages(limit=4)
    pages.next_request()
    assert pages.feed(10, cursor(5)) == 4
    assert pages.next_request() is None


@pytest.mark.parametrize(("second", "message"), [(5, "repeats the cursor"), (4, "goes back"), (-9, "goes back")])
def test_a_cursor_that_does_not_move_forward_is_an_error(second, message):
    pages = Pages()
    pages.feed(3, cursor(5))
    with pytest.raises(PageError, match=message):
        pages.feed(3, cursor(second))


def test_times_before_1970_come_first():
    pages = Pages()
    pages.feed(1, cursor(-5))
    pages.feed(1, cursor(3))
    assert pages.rows == 2
    assert ids.time_ms(cursor(-5).starting_after.uuid) == -5


def test_a_malformed_cursor_and_a_page_too_many_are_errors():
    pages = Pages()
    with pytest.raises(PageError, match="3 bytes instead of 16"):
        pages.feed(1, query_pb2.Pagination(starting_after=id_pb2.ID(uuid=b"abc")))
    pages = Pages()
    pages.feed(1, END)
    with pytest.raises(PageError, match="after the last one"):
        pages.feed(1, END)


def test_pages_from_the_latest_to_the_earliest():
    pages = Pages(order="descending")
    pages.feed(1, cursor(5))
    pages.feed(1, cursor(-4))
    with pytest.raises(PageError, match="goes forward in time"):
        pages.feed(1, cursor(5))


def test_pages_in_an_order_of_their_own_may_not_repeat_either():
    pages = Pages(order=None)
    for number in (5, 9, 1):
        pages.feed(1, cursor(number))
    with pytest.raises(PageError, match="repeats the cursor"):
        pages.feed(1, cursor(1))
