"""The delay before a failed task is retried. The number of retries is an argument of its submission."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random


@dataclass(frozen=True, slots=True)
class Retry:
    """The delays between the attempts of a task. By default, a failed task is retried at once.

    Set it on the task class, without an annotation or as a `ClassVar`:

        class Download(Task):
            retry = Retry(delay_seconds=5)

    Args:
        delay_seconds: The delay after the first failed attempt, in seconds.
        factor: The factor by which each further delay is longer, at least 1.
        jitter: The share, from 0 to 1, by which each delay is randomly longer or shorter, so that tasks that failed
            together do not return together.
        cap_seconds: The upper bound of every delay, in seconds.

    Raises:
        TypeError: An argument is not a number.
        ValueError: An argument is out of range or not finite.
    """

    delay_seconds: float = 0.0
    factor: float = 2.0
    jitter: float = 0.1
    cap_seconds: float = 3600.0

    def __post_init__(self) -> None:
        ranges = {
            "delay_seconds": (0, math.inf),
            "factor": (1, math.inf),
            "jitter": (0, 1),
            "cap_seconds": (0, math.inf),
        }
        for name, (least, most) in ranges.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise TypeError(f"{name} must be a number, not {value!r}")
            if not least <= value <= most or math.isinf(value):
                limits = f"at least {least}" if math.isinf(most) else f"between {least} and {most}"
                raise ValueError(f"{name} must be {limits} and finite, not {value!r}")

    def delay(self, failed_attempts: int, random: Random) -> float:
        """Return the delay before the next attempt, in seconds.

        Args:
            failed_attempts: The number of attempts that have failed so far, 1 after the first.
            random: The source of the jitter.
        """
        if self.delay_seconds == 0:
            return 0.0
        try:
            delay = self.delay_seconds * float(self.factor) ** max(failed_attempts - 1, 0)
        except OverflowError:
            delay = self.cap_seconds
        # The cap leaves room for the jitter, because tasks with the longest delay must spread out too.
        capped = min(delay, self.cap_seconds / (1 + self.jitter))
        # The outer cap matters only for the smallest floats, whose quotient rounds up.
        return min(capped * random.uniform(1 - self.jitter, 1 + self.jitter), self.cap_seconds)
