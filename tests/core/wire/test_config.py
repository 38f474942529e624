"""URL and key: where they come from, and that the key never shows."""

from __future__ import annotations

import pickle
import traceback

import pytest

from tilebox._core.wire.config import Config, Secret

CANARY = "canary-3f9a"


def test_arguments_win_over_the_environment_and_the_environment_over_the_default():
    environment = {"TILEBOX_API_URL": "http://box:1", "TILEBOX_API_KEY": "from-env"}
    assert Config.resolve("http://other:2/", "mine", environment) == Config("http://other:2", Secret("mine"))
    assert Config.resolve(None, None, environment) == Config("http://box:1", Secret("from-env"))
    assert Config.resolve(None, None, {}) == Config("https://api.tilebox.com", None)
    assert Config.resolve(None, "", environment).token is None


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("api.tilebox.com", "https://api.tilebox.com"),
        ("localhost:8080", "http://localhost:8080"),
        ("box:443", "https://box:443"),
        ("https://box/", "https://box"),
        ("https://box/behind/a/proxy/", "https://box/behind/a/proxy"),
        (" http://[::1]:8080 ", "http://[::1]:8080"),
    ],
)
def test_urls(given, wanted):
    assert Config.resolve(given, None, {}).url == wanted


@pytest.mark.parametrize("url", ["ftp://box", "http://", "http://box:port", "http://box?x=1", "unix:/tmp/socket"])
def test_malformed_urls_are_refused_with_an_example(url):
    with pytest.raises(ValueError, match="give a URL such as"):
        Config.resolve(url, None, {})


def test_a_password_in_the_url_is_refused_without_showing_it():
    with pytest.raises(ValueError, match="must not contain a user or password") as caught:
        Config.resolve(f"https://me:{CANARY}@box", None, {})
    assert CANARY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("token", [f"{CANARY}\nx", f"{CANARY} x", f"{CANARY}é", f"{CANARY}\0"])
def test_a_malformed_key_is_refused_without_showing_it(token):
    with pytest.raises(ValueError, match="copy it again") as caught:
        Config.resolve(None, token, {})
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("arguments", [(5, None), (None, b"key")])
def test_only_strings_are_accepted(arguments):
    with pytest.raises(TypeError, match="must be a string"):
        Config.resolve(*arguments, {})


def test_a_key_does_not_show():
    config = Config.resolve("http://box:1", CANARY + "\n", {})
    for text in (repr(config), str(config), f"{config.token}", f"{config.token!r:>40}", str(vars(Secret).keys())):
        assert CANARY not in text
    assert config.headers == {"authorization": f"Bearer {CANARY}"}
    assert pickle.loads(pickle.dumps(config)) == config


def test_without_a_key_the_hosted_service_is_asked_for_its_open_data():
    assert Config.resolve(None, None, {}).path("a.B/C") == "https://api.tilebox.com/public/a.B/C"
    assert Config.resolve(None, "key", {}).path("a.B/C") == "https://api.tilebox.com/a.B/C"
    assert Config.resolve("http://box:1", None, {}).path("a.B/C") == "http://box:1/a.B/C"
