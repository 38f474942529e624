"""The clock that decides when leases expire. A step of the system clock must not end a lease early.

Several servers on one database must also agree on the time. The clock therefore takes one reading of a reference (the
system clock, or the database's) and advances it by the monotonic clock. If the two drift apart by more than a second,
the reference was stepped: the clock adopts the new reading and tells the lease reaper, which then waits for the length
of one lease before it takes back any task.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

STEP_US = 1_000_000
"""The largest difference, in microseconds, that counts as drift; a larger one counts as a step."""


class LeaseClock:
    """Microseconds since 1970, advanced monotonically from one reading of the reference.

    Args:
        reference: Reads the system clock, in microseconds since 1970.
        monotonic: Reads the monotonic clock, in nanoseconds.
    """

    def __init__(
        self,
        reference: Callable[[], int] = lambda: time.time_ns() // 1000,
        monotonic: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._reference = reference
        self._monotonic = monotonic
        self._offset_us = 0
        self.synchronize(None)

    def now_us(self) -> int:
        """Return the current time, in microseconds since 1970."""
        return self._monotonic() // 1000 + self._offset_us

    def synchronize(self, database_us: int | None) -> bool:
        """Compare with the reference, and adopt its reading if it was stepped.

        Args:
            database_us: The current time of the database's clock, which then is the reference; None to read the
                system clock.

        Returns:
            Whether the reference was stepped since the last call.
        """
        reading_us = self._reference() if database_us is None else database_us
        offset_us = reading_us - self._monotonic() // 1000
        if abs(offset_us - self._offset_us) <= STEP_US:
            return False
        self._offset_us = offset_us
        return True
