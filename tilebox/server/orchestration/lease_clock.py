"""The time by which leases end, which no step of the machine's clock may end early.

Several servers on one database must agree on it too. So it counts on from one reading of a reference: the machine's
clock, or the database's. If the two drift apart by more than a second, somebody set the clock: then the count goes
on from the new reading, and those who judge leases are told, so that they wait for one lease before they take any.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

STEP_US = 1_000_000
"""A difference that is no drift any more."""


class Clock:
    """Microseconds since 1970, counted on from a reading of the reference.

    Args:
        reference: Reads the machine's clock, in microseconds since 1970.
        monotonic: Reads what no one can set, in nanoseconds.
    """

    def __init__(
        self,
        reference: Callable[[], int] = lambda: time.time_ns() // 1000,
        monotonic: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._reference = reference
        self._monotonic = monotonic
        self._offset_us = 0
        self.follow(None)

    def now_us(self) -> int:
        """Return the time."""
        return self._monotonic() // 1000 + self._offset_us

    def follow(self, reading_us: int | None) -> bool:
        """Compare with the reference, and tell whether it was stepped since the last time.

        Args:
            reading_us: What the database's clock says now, if that is the reference.
        """
        reading = self._reference() if reading_us is None else reading_us
        offset = reading - self._monotonic() // 1000
        if abs(offset - self._offset_us) <= STEP_US:
            return False
        self._offset_us = offset
        return True
