"""One job on two clusters: a runner on one cluster downloads data, a runner on another processes it."""

from __future__ import annotations

from local import workflows

from tilebox.workflows import ExecutionContext, Task


class DistributedWorkflow(Task):
    gpu_cluster: str

    def execute(self, context: ExecutionContext) -> None:
        download = context.submit_subtask(DownloadData())
        context.submit_subtask(ProcessData(), cluster=self.gpu_cluster, depends_on=[download])


class DownloadData(Task):
    def execute(self, context: ExecutionContext) -> None:
        print(f"downloaded by a runner with {context.runner_context}")


class ProcessData(Task):
    def execute(self, context: ExecutionContext) -> None:
        print(f"processed by a runner with {context.runner_context}")


def main() -> str:
    """Run one job with a runner on each cluster, and return the job's state."""
    with workflows() as client:
        downloads = client.clusters().create("downloads")
        gpus = client.clusters().create("gpus")
        job = client.jobs().submit("distributed", DistributedWorkflow(gpus.slug), cluster=downloads)
        client.runner(downloads.slug, tasks=[DistributedWorkflow, DownloadData], context="a fast connection").run_all()
        for waiting in client.jobs().queued(job):
            print(f"{waiting.display} waits: {waiting.explanation}")
        client.runner(gpus.slug, tasks=[ProcessData], context="GPUs").run_all()
        state = client.jobs().find(job).state.name
    print(f"the job is {state}")
    return state


if __name__ == "__main__":
    main()
