"""Codes, statuses and errors: one table, read in both directions."""

from __future__ import annotations

import json

import pytest

from tilebox import errors
from tilebox._core.wire import status


@pytest.mark.parametrize("code", status.STATUSES)
def test_every_code_survives_the_way_from_server_to_client(code):
    body = status.error_body(code, "it is so")
    error = status.error_from_response(status.http_status(code), body, {"x-request-id": "r7"}, call="A/B at url")
    assert type(error) is status.STATUSES[code].error
    assert "it is so" in str(error)
    if isinstance(error, errors.APIError):
        assert (error.code, error.request_id) == (code, "r7")


@pytest.mark.parametrize(
    "error", [errors.NotFoundError, errors.ConflictError, errors.RateLimitedError, errors.ServerError]
)
def test_an_error_of_the_server_has_a_code(error):
    assert status.STATUSES[status.code_of(error("x"))].error is error
    assert status.code_of(RuntimeError("x")) == "internal"
    assert status.code_of(errors.ConflictError("x", code="aborted")) == "aborted"


@pytest.mark.parametrize(
    ("http", "body", "wanted"),
    [
        (502, b"<html>Bad Gateway</html>", errors.TransportError),
        (503, b"", errors.TransportError),
        (429, b"slow down", errors.RateLimitedError),
        (413, b"", errors.RateLimitedError),
        (401, b"", errors.AuthenticationError),
        (403, b"", errors.PermissionDeniedError),
        (404, b"no such page", errors.ServerError),
        (418, b"\xff\xfe", errors.ServerError),
        (500, b'["no object"]', errors.ServerError),
        (404, b'{"code": "made_up", "message": "x"}', errors.ServerError),
        (400, b'{"code": 5}', errors.ServerError),
    ],
)
def test_errors_of_a_gateway(http, body, wanted):
    error = status.error_from_response(http, body, {}, call="A/B at http://box")
    assert type(error) is wanted
    if wanted in (errors.TransportError, errors.ServerError):
        assert "A/B at http://box" in str(error)


def test_the_message_tells_whether_server_or_gateway_failed():
    disk = "the database cannot be used now: the disk is full. Nothing was stored"
    own = status.error_from_response(503, status.error_body("unavailable", disk), {"x-request-id": "r7"}, call="A/B")
    assert str(own) == f"the server is unavailable for A/B: {disk} (request r7); try again later"
    gateway = status.error_from_response(503, b"upstream is gone", {}, call="A/B")
    assert str(gateway) == "no answer from A/B: HTTP 503 upstream is gone; try again later"


def test_long_bodies_of_gateways_are_cut():
    error = status.error_from_response(500, b"x" * 10_000, {}, call="A/B")
    assert len(str(error)) < 400


def test_messages_name_the_request_where_the_servers_log_has_more():
    body = json.dumps({"code": "internal", "message": "disk full"}).encode()
    error = status.error_from_response(500, body, {"x-request-id": "r7"}, call="A/B at http://box")
    assert str(error) == "the server failed at A/B at http://box: disk full (request r7)"
    assert status.http_status("no such code") == 500
