"""When to try again, and how long to wait before that; the clock and the dice come in from outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How stubborn to be.

    Args:
        attempts: Number of attempts in all.
        first_seconds: Longest wait before the second attempt.
        factor: How much longer each further wait may be.
        longest_seconds: No wait is longer.
        deadline_seconds: No attempt starts later than this after the first one.
    """

    attempts: int = 6
    first_seconds: float = 0.1
    factor: float = 2.5
    longest_seconds: float = 5.0
    deadline_seconds: float = 30.0


class Backoff:
    """The retries of one call.

    Args:
        policy: How stubborn to be.
        random: Where the jitter comes from.
        started: Seconds on the caller's clock at the first attempt.
    """

    def __init__(self, policy: RetryPolicy, random: Random, started: float) -> None:
        self._policy = policy
        self._random = random
        self._started = started
        self._failed = 0

    def delay(self, now: float) -> float | None:
        """Note a failed attempt.

        Args:
            now: Seconds on the same clock as `started`.

        Returns:
            Seconds to wait before the next attempt, or None to give up.
        """
        self._failed += 1
        if self._failed >= self._policy.attempts:
            return None
        cap = self._policy.first_seconds * self._policy.factor ** (self._failed - 1)
        # At least half of it, so that a server that needs a moment gets one; the rest spreads clients out.
        wait = min(cap, self._policy.longest_seconds) * self._random.uniform(0.5, 1.0)
        if now + wait - self._started > self._policy.deadline_seconds:
            return None
        return wait

    def progressed(self, now: float) -> None:
        """Note that something arrived: the next failure is a first one again."""
        self._failed = 0
        self._started = now

    @property
    def failed(self) -> int:
        """Number of failed attempts since the start or the last progress."""
        return self._failed
