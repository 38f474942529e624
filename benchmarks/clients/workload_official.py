"""The official runner, unmodified, in the official SDK's environment. It executes `Leaf` until it is stopped.

python workload_official.py grpc | http1

With `null PORT [FILE]` it is a gRPC server that does nothing, for comparison: it returns a task that it serialised at
its start. With a file, it writes each report to disk first.
"""

from __future__ import annotations

import asyncio
import os
import sys

import workload
from disk import Disk


def main() -> None:
    if sys.argv[1] == "null":
        asyncio.run(_serve_nothing(int(sys.argv[2]), *map(Disk, sys.argv[3:])))
        return
    from tilebox.workflows import Client, ExecutionContext, Task

    class Leaf(Task):
        def execute(self, context: ExecutionContext) -> None:  # noqa: ARG002
            workload.MARKS.add()

    client = Client(url=workload.ADDRESS, token=os.environ["WORKLOAD_TOKEN"], transport=sys.argv[1])
    client.runner(tasks=[Leaf]).run_forever()


async def _serve_nothing(port: int, disk: Disk | None = None) -> None:
    import grpc
    from tilebox.workflows.workflows.v1.core_pb2 import Task
    from tilebox.workflows.workflows.v1.task_pb2 import NextTaskResponse

    task = Task(input=b"", display="Leaf", retry_count=0)
    task.id.uuid = task.job.id.uuid = bytes(range(16))
    task.identifier.name, task.identifier.version = "Leaf", "v0.0"
    task.job.name = "nothing"
    task.lease.lease.seconds, task.lease.recommended_wait_until_next_extension.seconds = 300, 150
    answer = NextTaskResponse(next_task=task).SerializeToString()

    class Nothing(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            content = answer if details.method.endswith("/NextTask") else b""

            async def say(request: bytes, context: grpc.aio.ServicerContext) -> bytes:  # noqa: ARG001
                if disk is not None and content:
                    disk.write_durably()
                return content

            return grpc.unary_unary_rpc_method_handler(say)

    server = grpc.aio.server(handlers=[Nothing()])
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    main()
