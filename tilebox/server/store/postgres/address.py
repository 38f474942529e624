"""The URL of a database, as libpq defines it, made into one that asyncpg takes."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

_FORM = "the PostgreSQL URL must be postgresql://user:password@host:port/database"

# What libpq may be told about its sockets. The store has time limits of its own, and asyncpg takes care of the rest.
_IGNORED = frozenset(
    {
        "client_encoding", "connect_timeout", "gssencmode", "keepalives", "keepalives_count", "keepalives_idle",
        "keepalives_interval", "load_balance_hosts", "sslcompression", "sslsni", "tcp_user_timeout",
    }
)  # fmt: skip

# Protections that asyncpg does not have; silence about them would be worse than an error.
_UNSUPPORTED = frozenset({"channel_binding", "gssdelegation", "hostaddr", "require_auth", "requirepeer", "sslcertmode"})


@dataclass(frozen=True)
class Address:
    """Where a database is.

    Args:
        url: What asyncpg is given.
        name: What errors call the database; holds no password.
    """

    url: str
    name: str


def read_url(url: str) -> Address:
    """Return the address that a URL names.

    Raises:
        ValueError: The URL cannot be read, or asks for something that asyncpg does not have. The message holds no
            password.
    """
    try:
        parts = urlsplit(url)
        options = parse_qsl(parts.query, strict_parsing=True) if parts.query else []
    except ValueError:
        raise ValueError(_FORM) from None
    _, _, hosts = parts.netloc.rpartition("@")
    if not all(map(_has_port, hosts.split(","))):
        raise ValueError(_FORM)
    kept: dict[str, str] = {}
    for name, value in options:
        if name == "fallback_application_name":
            kept.setdefault("application_name", value)
        elif name in _UNSUPPORTED and value not in {"disable", "prefer"}:
            raise ValueError(f"the PostgreSQL URL asks for {name}={value}, which is not supported: leave it out")
        elif name not in _IGNORED | _UNSUPPORTED:
            kept[name] = value
    host = kept.get("host") or unquote(hosts) or "this machine"
    database = kept.get("dbname") or unquote(parts.path.removeprefix("/"))
    return Address(parts._replace(query=urlencode(kept)).geturl(), f"{database} on {host}")


def _has_port(host: str) -> bool:
    _, _, port = host.rpartition("]")[2].partition(":")
    return not port or port.isdecimal()
