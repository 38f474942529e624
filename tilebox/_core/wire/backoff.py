"""Exponential backoff with jitter; the caller passes in the clock and the random numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """The limits of the retries of one call.

    Args:
        attempts: The total number of attempts.
        first_seconds: The longest wait before the second attempt, in seconds.
        factor: The factor by which each further wait may grow.
        longest_seconds: The upper bound of every wait, in seconds.
        deadline_seconds: The time after the first attempt at which no further attempt starts, in seconds.
    """

    attempts: int = 6
    first_seconds: float = 0.1
    factor: float = 2.5
    longest_seconds: float = 5.0
    deadline_seconds: float = 30.0


class Backoff:
    """The retries of one call.

    Args:
        policy: The limits of the retries.
        random: The source of the jitter.
        started: The time of the first attempt on the caller's clock, in seconds.
    """

    def __init__(self, policy: RetryPolicy, random: Random, started: float) -> None:
        self._policy = policy
        self._random = random
        self._started = started
        self._failed = 0

    def delay(self, now: float) -> float | None:
        """Record a failed attempt.

        Args:
            now: The time on the same clock as `started`, in seconds.

        Returns:
            The seconds to wait before the next attempt, or None to give up.
        """
        self._failed += 1
        if self._failed >= self._policy.attempts:
            return None
        cap = self._policy.first_seconds * self._policy.factor ** (self._failed - 1)
        # At least half of the cap, to give a busy server time; the random rest keeps clients from returning together.
        wait = min(cap, self._policy.longest_seconds) * self._random.uniform(0.5, 1.0)
        if now + wait - self._started > self._policy.deadline_seconds:
            return None
        return wait

    @property
    def failed(self) -> int:
        """The number of failed attempts since the start."""
        return self._failed
