"""The server's URL and the API key, from arguments and a given environment."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_URL = "https://api.tilebox.com"
URL_VARIABLE = "TILEBOX_API_URL"
TOKEN_VARIABLE = "TILEBOX_API_KEY"  # noqa: S105 the name of a variable, not a key

_OPEN_DATA_URLS = frozenset({DEFAULT_URL, "https://api.tilebox.dev"})
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")


class Secret:
    """A text that prints, formats and logs as stars."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the secret text."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __repr__(self) -> str:
        return "Secret('***')"


@dataclass(frozen=True, slots=True)
class Config:
    """The server's URL and the API key.

    Args:
        url: The base URL of the server, without a trailing slash.
        token: The API key, or None for anonymous requests.
    """

    url: str
    token: Secret | None

    @classmethod
    def resolve(cls, url: str | None, token: str | None, environment: Mapping[str, str]) -> Config:
        """Read the configuration from arguments, and from the environment where they are None.

        Args:
            url: The base URL, or None for `TILEBOX_API_URL`, or else the hosted service.
            token: The API key, or None for `TILEBOX_API_KEY`, or else no key.
            environment: Environment variables by name.

        Raises:
            TypeError: An argument is not a string.
            ValueError: The URL or the key is malformed.
        """
        for name, value in (("url", url), ("token", token)):
            if value is not None and not isinstance(value, str):
                raise TypeError(f"{name} must be a string, not a {type(value).__name__}")
        text = token if token is not None else environment.get(TOKEN_VARIABLE, "")
        return cls(_checked_url(url or environment.get(URL_VARIABLE) or DEFAULT_URL), _checked_token(text))

    @property
    def is_encrypted(self) -> bool:
        """Whether requests travel over TLS."""
        return self.url.startswith("https:")

    @property
    def is_anonymous(self) -> bool:
        """Whether to use the hosted service's open data, which needs no key."""
        return self.token is None and self.url in _OPEN_DATA_URLS

    @property
    def headers(self) -> dict[str, str]:
        """The headers that authenticate a request."""
        return {} if self.token is None else {"authorization": f"Bearer {self.token.reveal()}"}

    def path(self, method: str) -> str:
        """Return the URL of a method such as `datasets.v1.DatasetService/GetDataset`."""
        return f"{self.url}/public/{method}" if self.is_anonymous else f"{self.url}/{method}"


def _checked_url(url: str) -> str:
    url = url.strip()
    if not _SCHEME.match(url):
        # The rule of the official client: a port other than 443 means a local server without TLS.
        has_plain_port = re.search(r":(?!443/?$)\d+/?$", url)
        url = f"{'http' if has_plain_port else 'https'}://{url}"
    advice = "give a URL such as https://api.tilebox.com or http://localhost:8080"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"the server's URL is malformed ({error}); {advice}") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError(
            f"the server's URL must not contain a user or password, because both would appear in logs; {advice}"
        )
    if parts.scheme not in ("http", "https") or not host or parts.netloc.endswith(":") or parts.query or parts.fragment:
        raise ValueError(f"{url!r} is not the URL of a server; {advice}")
    return url.rstrip("/")


def _checked_token(text: str) -> Secret | None:
    text = text.strip()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(
            "the API key contains spaces, line breaks or other characters that a key cannot have; copy it again"
        )
    return Secret(text) if text else None
