"""Celery on Redis: one worker process with one child, results ignored.

python peers/peer_celery.py worker | measure
"""

from __future__ import annotations

import sys

import workload
from celery import Celery

app = Celery("peer_celery", broker=workload.ADDRESS)
app.conf.update(task_ignore_result=True, worker_hijack_root_logger=False, broker_connection_retry_on_startup=True)


@app.task(name="root")
def root(count: int) -> None:
    with app.producer_pool.acquire(block=True) as producer:
        for _ in range(count):
            leaf.apply_async(producer=producer)


@app.task(name="leaf")
def leaf() -> None:
    workload.MARKS.add()


@app.task(name="link")
def link(left: int) -> None:
    workload.MARKS.add()
    if left > 1:
        link.delay(left - 1)


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=ERROR"]
        app.worker_main(["worker", "--concurrency=1", *quiet])
    else:
        workload.measure(workload.Peer(root.delay, leaf.delay, link.delay))
