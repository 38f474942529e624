"""Download dog pictures, one task per picture. A task for many pictures splits itself in halves."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import httpx
from fake_api import fake_api
from local import workflows

from tilebox.workflows import ExecutionContext, Task

MAX_IMAGES_PER_REQUEST = 4


class DownloadRandomDogImages(Task):
    api: str
    num_images: int

    def execute(self, context: ExecutionContext) -> None:
        context.current_task.display = f"{self.num_images} dogs"
        if self.num_images > MAX_IMAGES_PER_REQUEST:
            half = self.num_images // 2
            context.submit_subtask(DownloadRandomDogImages(self.api, half))
            context.submit_subtask(DownloadRandomDogImages(self.api, self.num_images - half))
            return
        response = httpx.get(f"{self.api}/v1/images/search?limit={self.num_images}")
        for image in response.json()[: self.num_images]:
            context.submit_subtask(DownloadImage(image["url"]))


class DownloadImage(Task):
    url: str

    def execute(self, context: ExecutionContext) -> None:
        folder: Path = context.runner_context
        response = httpx.get(self.url).raise_for_status()
        # The file is named after the task, because the API may return the same picture twice.
        (folder / f"{context.current_task.id}.gif").write_bytes(response.content)


def main(num_images: int = 9) -> int:
    """Download pictures into a temporary folder and return how many there are."""
    with workflows() as client, fake_api() as api, tempfile.TemporaryDirectory() as folder:
        client.jobs().submit("dogs", DownloadRandomDogImages(api, num_images))
        runner = client.runner(tasks=[DownloadRandomDogImages, DownloadImage], context=Path(folder), concurrency=4)
        runner.run_all()
        count = len(list(Path(folder).iterdir()))
    print(f"{count} pictures of dogs")
    return count


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
