"""Database URLs as libpq defines them, rewritten for asyncpg."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

_EXPECTED_FORM = "the PostgreSQL URL must be postgresql://user:password@host:port/database"

# Options of libpq that asyncpg rejects and the store can do without: the store has its own time limits, and asyncpg
# chooses the encoding and the rest of the socket options.
_IGNORED = frozenset(
    {
        "client_encoding", "connect_timeout", "gssencmode", "keepalives", "keepalives_count", "keepalives_idle",
        "keepalives_interval", "load_balance_hosts", "sslcompression", "sslsni", "tcp_user_timeout",
    }
)  # fmt: skip

# asyncpg does not implement these protections. To ignore them silently would be worse than an error.
_UNSUPPORTED = frozenset({"channel_binding", "gssdelegation", "hostaddr", "require_auth", "requirepeer", "sslcertmode"})


@dataclass(frozen=True)
class Address:
    """The address of a database.

    Args:
        url: The URL for asyncpg.
        name: The name of the database in error messages, without a password.
    """

    url: str
    name: str


def parse_url(url: str) -> Address:
    """Parse the URL of a database.

    Args:
        url: A URL in the form of libpq, with any of its options.

    Raises:
        ValueError: The URL is malformed, or has an option that asyncpg does not support. The message never contains
            the password.
    """
    try:
        parts = urlsplit(url)
        options = parse_qsl(parts.query, strict_parsing=True) if parts.query else []
    except ValueError:
        # The cause would show the password in the traceback.
        raise ValueError(_EXPECTED_FORM) from None
    _, _, hosts = parts.netloc.rpartition("@")
    if not all(map(_has_valid_port, hosts.split(","))):
        raise ValueError(_EXPECTED_FORM)
    supported: dict[str, str] = {}
    for name, value in options:
        if name == "fallback_application_name":
            supported.setdefault("application_name", value)
        elif name in _UNSUPPORTED and value not in {"disable", "prefer"}:
            raise ValueError(
                f"the PostgreSQL URL has the option {name}={value}, which the server does not support: remove it"
            )
        elif name not in _IGNORED | _UNSUPPORTED:
            supported[name] = value
    host = supported.get("host") or unquote(hosts) or "this machine"
    database = supported.get("dbname") or unquote(parts.path.removeprefix("/"))
    return Address(parts._replace(query=urlencode(supported)).geturl(), f"{database} on {host}")


def _has_valid_port(host: str) -> bool:
    # The colons of an IPv6 address stand in brackets.
    _, _, port = host.rpartition("]")[2].partition(":")
    return not port or port.isdecimal()
