"""How long a task that failed waits before it is tried again; how often it is, is said where it is submitted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random


@dataclass(frozen=True, slots=True)
class Retry:
    """The pauses between attempts. Without one, a failed task is tried again at once.

    Set it on the class of a task, without an annotation or as a `ClassVar`:

        class Download(Task):
            retry = Retry(delay_seconds=5)

    Args:
        delay_seconds: The pause after the first failed attempt.
        factor: How much longer each further pause is.
        jitter: Each pause is up to this share longer or shorter, so that tasks that failed together spread out.
        cap_seconds: No pause is longer.

    Raises:
        ValueError: A number makes no sense.
    """

    delay_seconds: float = 0.0
    factor: float = 2.0
    jitter: float = 0.1
    cap_seconds: float = 3600.0

    def __post_init__(self) -> None:
        rules = {
            "delay_seconds": (0, math.inf),
            "factor": (1, math.inf),
            "jitter": (0, 1),
            "cap_seconds": (0, math.inf),
        }
        for name, (least, most) in rules.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise TypeError(f"{name} must be a number, not {value!r}")
            if not least <= value <= most or math.isinf(value):
                limits = f"at least {least}" if math.isinf(most) else f"between {least} and {most}"
                raise ValueError(f"{name} must be {limits} and finite, not {value!r}")

    def delay(self, failed_attempts: int, random: Random) -> float:
        """Return how many seconds to wait.

        Args:
            failed_attempts: How many attempts have failed so far, 1 after the first.
            random: Where the jitter comes from.
        """
        if self.delay_seconds == 0:
            return 0.0
        try:
            pause = self.delay_seconds * float(self.factor) ** max(failed_attempts - 1, 0)
        except OverflowError:
            pause = self.cap_seconds
        # Capped with room for the jitter: those that wait longest are the ones that must not come together.
        return min(pause, self.cap_seconds / (1 + self.jitter)) * random.uniform(1 - self.jitter, 1 + self.jitter)
