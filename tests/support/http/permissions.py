"""The documented permissions of each method of the wire, written out rather than derived from the code."""

from __future__ import annotations

from support.http.wire import METHODS, WORK_METHODS

ARROW = "tilebox.ext.v1.DatapointService/QueryArrow"

READING = {
    "datasets.v1.DatasetService/GetDataset",
    "datasets.v1.DatasetService/ListDatasets",
    "datasets.v1.CollectionService/GetCollectionByName",
    "datasets.v1.CollectionService/ListCollections",
    "datasets.v1.DataAccessService/Query",
    "datasets.v1.DataAccessService/QueryByID",
    "tilebox.ext.v1.DatapointService/Count",
    ARROW,
    "workflows.v1.WorkflowsService/GetCluster",
    "workflows.v1.WorkflowsService/ListClusters",
    "workflows.v1.JobService/GetJob",
    "workflows.v1.JobService/ListJobTasks",
    "workflows.v1.JobService/VisualizeJob",
    "workflows.v1.JobService/QueryJobs",
    "workflows.v1.JobService/GetJobPrototype",
    "workflows.v1.JobService/GetJobStateCounts",
    "workflows.v1.JobService/GetTaskQueueStats",
    "workflows.v1.DiagramService/Render",
    "tilebox.ext.v1.RunnerService/ExplainJob",
    "tilebox.ext.v1.RunnerService/AwaitJob",
}
# Not implemented; every caller gets that error.
NOT_OFFERED = {
    f"workflows.v1.WorkflowsService/{name}"
    for name in (
        "CreateWorkflow",
        "ListWorkflows",
        "ListPublicWorkflows",
        "GetWorkflow",
        "UpdateWorkflow",
        "DeleteWorkflow",
        "PublishWorkflowRelease",
        "UnpublishWorkflowRelease",
        "DeployWorkflowRelease",
        "UndeployWorkflowRelease",
    )
}
WRITING = {
    "datasets.v1.CollectionService/CreateCollection",
    "datasets.v1.CollectionService/DeleteCollection",
    "datasets.v1.DataIngestionService/Ingest",
    "datasets.v1.DataIngestionService/Delete",
    "tilebox.ext.v1.DatapointService/Ingest",
    "workflows.v1.JobService/SubmitJob",
    "workflows.v1.JobService/RetryJob",
    "workflows.v1.JobService/CancelJob",
    "workflows.v1.JobService/CloneJob",
}
RUNNING = {
    "workflows.v1.TaskService/NextTask",
    "workflows.v1.TaskService/TaskFailed",
    "workflows.v1.TaskService/ExtendTaskLease",
    "tilebox.ext.v1.RunnerService/Exchange",
    "tilebox.ext.v1.RunnerService/ExtendLeases",
    "tilebox.ext.v1.RunnerService/ReportDeath",
}
EXPORTING = {"v1/traces", "v1/logs"}
MANAGING = {
    "datasets.v1.DatasetService/CreateDataset",
    "datasets.v1.DatasetService/UpdateDataset",
    "datasets.v1.DatasetService/DeleteDataset",
    "workflows.v1.WorkflowsService/CreateCluster",
    "workflows.v1.WorkflowsService/UpdateCluster",
    "workflows.v1.WorkflowsService/DeleteCluster",
}
PUBLIC = {"healthz", "readyz"}
EVERY_METHOD = sorted({*METHODS, *WORK_METHODS, ARROW})
ALLOWED = {
    "read": READING | NOT_OFFERED,
    "submit": READING | NOT_OFFERED | WRITING,
    "run": READING | NOT_OFFERED | WRITING | RUNNING | EXPORTING,
    "admin": READING | NOT_OFFERED | WRITING | RUNNING | EXPORTING | MANAGING,
}
