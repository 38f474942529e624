"""Durations as ISO 8601 writes them."""

from __future__ import annotations

import re
from datetime import timedelta


def write_duration(value: timedelta) -> str:
    """Write a duration as in ISO 8601, in days and seconds.

    >>> write_duration(timedelta(days=1, seconds=2.5)), write_duration(-timedelta(seconds=90))
    ('P1DT2.5S', '-PT90S')
    """
    micros = (value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds
    sign, micros = ("-", -micros) if micros < 0 else ("", micros)
    days, micros = divmod(micros, 86_400_000_000)
    seconds, fraction = divmod(micros, 1_000_000)
    text = f"{seconds}.{fraction:06}".rstrip("0").rstrip(".") if fraction else str(seconds)
    if not micros:
        return f"{sign}P{days}D"
    return f"{sign}P{f'{days}D' if days else ''}T{text}S"


_DURATION = re.compile(
    r"(?P<sign>[-+]?)P(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)(?:\.(?P<micros>\d{1,6})\d*)?S)?)?",
    re.ASCII | re.IGNORECASE,
)


def read_duration(text: str) -> timedelta:
    """Read a duration as in ISO 8601, of weeks, days, hours, minutes and seconds.

    Raises:
        ValueError: It is none.
        OverflowError: It is longer than a timedelta can be.
    """
    match = _DURATION.fullmatch(text)
    if not match or text.upper().endswith(("P", "T")):
        raise ValueError(f"{text!r} is no duration")
    parts = match.groupdict()
    sign = -1 if parts.pop("sign") == "-" else 1
    micros = (parts.pop("micros") or "").ljust(6, "0")
    # The sign goes into the parts, because the shortest timedelta is longer than the longest one.
    exact = {name: sign * int(number or 0) for name, number in parts.items()}
    return timedelta(**exact, microseconds=sign * int(micros))
