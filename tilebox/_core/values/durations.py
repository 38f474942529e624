"""Durations in ISO 8601 notation."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import timedelta


def write_duration(value: timedelta) -> str:
    """Return a duration in ISO 8601 notation, in days and seconds.

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
