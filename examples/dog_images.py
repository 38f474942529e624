"""Pictures of dogs, a task for each; many of them are asked for by halves, so that the first arrive early."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import httpx
from fake_api import fake_api
from local import workflows

from tilebox.workflows import ExecutionContext, Task

MOST_AT_ONCE = 4


class DownloadRandomDogImages(Task):
    api: str
    num_images: int

    def execute(self, context: ExecutionContext) -> None:
        context.current_task.display = f"{self.num_images} dogs"
        if self.num_images > MOST_AT_ONCE:
            half = self.num_images // 2
            context.submit_subtask(DownloadRandomDogImages(self.api, half))
            context.submit_subtask(DownloadRandomDogImages(self.api, self.num_images - half))
            return
        answer = httpx.get(f"{self.api}/v1/images/search?limit={self.num_images}")
        for image in answer.json()[: self.num_images]:
            context.submit_subtask(DownloadImage(image["url"]))


class DownloadImage(Task):
    url: str

    def execute(self, context: ExecutionContext) -> None:
        folder: Path = context.runner_context
        answer = httpx.get(self.url).raise_for_status()
        # Named after the task: the API may give two of them the same picture.
        (folder / f"{context.current_task.id}.gif").write_bytes(answer.content)


def main(num_images: int = 9) -> int:
    """Download pictures into a folder that goes away again, and say how many."""
    with workflows() as client, fake_api() as api, tempfile.TemporaryDirectory() as folder:
        client.jobs().submit("dogs", DownloadRandomDogImages(api, num_images))
        runner = client.runner(tasks=[DownloadRandomDogImages, DownloadImage], context=Path(folder), concurrency=4)
        runner.run_all()
        found = len(list(Path(folder).iterdir()))
    print(f"{found} pictures of dogs")
    return found


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
