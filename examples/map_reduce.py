"""Count words: one task per part of a text, and a task that waits for all parts and adds up the counts."""

from __future__ import annotations

import json
import re
from collections import Counter

from local import workflows

from tilebox.workflows import ExecutionContext, Task
from tilebox.workflows.cache import InMemoryCache

TEXT = """
The satellite passes over the river, the river passes under the bridge,
and the bridge is seen by the satellite whenever no cloud passes between.
Count the passes, and you know the river; count the clouds, and you know the season.
"""


class CountWords(Task):
    text: str

    def execute(self, context: ExecutionContext) -> None:
        lines = self.text.strip().splitlines()
        parts = context.submit_subtasks([CountPart(number, line) for number, line in enumerate(lines)])
        context.submit_subtask(AddUp(), depends_on=parts)


class CountPart(Task):
    number: int
    text: str

    def execute(self, context: ExecutionContext) -> None:
        counts = Counter(re.findall(r"[a-z]+", self.text.lower()))
        context.job_cache.group("parts")[str(self.number)] = json.dumps(counts).encode()


class AddUp(Task):
    def execute(self, context: ExecutionContext) -> None:
        parts = context.job_cache.group("parts")
        total: Counter[str] = Counter()
        for key in parts:
            total.update(json.loads(parts[key]))
        context.job_cache["total"] = json.dumps(total).encode()


def main() -> dict[str, int]:
    """Print the most frequent words and return all counts."""
    cache = InMemoryCache()
    with workflows() as client:
        job = client.jobs().submit("map-reduce", CountWords(TEXT))
        client.runner(tasks=[CountWords, CountPart, AddUp], cache=cache).run_all()
    counts: dict[str, int] = json.loads(cache.group(str(job.id))["total"])
    for word, count in Counter(counts).most_common(5):
        print(f"{word:>10} {count}")
    return counts


if __name__ == "__main__":
    main()
