"""Fetch the news in one task, then process them in two others that read them from the job cache."""

from __future__ import annotations

import json
from collections import Counter

import httpx
from fake_api import fake_api
from local import workflows

from tilebox.workflows import ExecutionContext, Task
from tilebox.workflows.cache import InMemoryCache


class NewsWorkflow(Task):
    api: str
    category: str
    max_articles: int

    def execute(self, context: ExecutionContext) -> None:
        fetch = context.submit_subtask(FetchNews(self.api, self.category, self.max_articles))
        context.submit_subtask(PrintHeadlines(), depends_on=[fetch])
        context.submit_subtask(MostFrequentAuthors(), depends_on=[fetch])


class FetchNews(Task):
    api: str
    category: str
    max_articles: int

    def execute(self, context: ExecutionContext) -> None:
        url = f"{self.api}/v2/top-headlines?category={self.category}&pageSize={self.max_articles}"
        context.job_cache["news"] = httpx.get(url).raise_for_status().content


class PrintHeadlines(Task):
    def execute(self, context: ExecutionContext) -> None:
        for article in json.loads(context.job_cache["news"])["articles"]:
            print(f"{article['publishedAt'][:10]}: {article['title']}")


class MostFrequentAuthors(Task):
    def execute(self, context: ExecutionContext) -> None:
        articles = json.loads(context.job_cache["news"])["articles"]
        for author, count in Counter(article["author"] for article in articles).most_common():
            print(f"Author {author} has written {count} articles")


def main() -> None:
    """Fetch the news, then print headlines and authors."""
    with workflows() as client, fake_api() as api:
        client.jobs().submit("process-news", NewsWorkflow(api, "science", 5))
        tasks = [NewsWorkflow, FetchNews, PrintHeadlines, MostFrequentAuthors]
        client.runner(tasks=tasks, cache=InMemoryCache()).run_all()


if __name__ == "__main__":
    main()
