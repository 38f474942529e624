import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from tilebox._core.protocol.tilebox.v1 import id_pb2 as _id_pb2
from tilebox._core.protocol.workflows.v1 import core_pb2 as _core_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FailureKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FAILURE_KIND_UNSPECIFIED: _ClassVar[FailureKind]
    FAILURE_KIND_TASK: _ClassVar[FailureKind]
    FAILURE_KIND_FINAL: _ClassVar[FailureKind]
    FAILURE_KIND_CRASH: _ClassVar[FailureKind]

class ReportVerdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REPORT_VERDICT_UNSPECIFIED: _ClassVar[ReportVerdict]
    REPORT_VERDICT_ACCEPTED: _ClassVar[ReportVerdict]
    REPORT_VERDICT_REPEATED: _ClassVar[ReportVerdict]
    REPORT_VERDICT_STALE: _ClassVar[ReportVerdict]
    REPORT_VERDICT_REFUSED: _ClassVar[ReportVerdict]

class QueueReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    QUEUE_REASON_UNSPECIFIED: _ClassVar[QueueReason]
    QUEUE_REASON_NEXT: _ClassVar[QueueReason]
    QUEUE_REASON_NO_RUNNER: _ClassVar[QueueReason]
    QUEUE_REASON_UNKNOWN_TASK: _ClassVar[QueueReason]
    QUEUE_REASON_VERSION_TOO_LOW: _ClassVar[QueueReason]
    QUEUE_REASON_DEPENDENCIES: _ClassVar[QueueReason]
    QUEUE_REASON_RETRY_DELAY: _ClassVar[QueueReason]
    QUEUE_REASON_JOB_STOPPED: _ClassVar[QueueReason]
FAILURE_KIND_UNSPECIFIED: FailureKind
FAILURE_KIND_TASK: FailureKind
FAILURE_KIND_FINAL: FailureKind
FAILURE_KIND_CRASH: FailureKind
REPORT_VERDICT_UNSPECIFIED: ReportVerdict
REPORT_VERDICT_ACCEPTED: ReportVerdict
REPORT_VERDICT_REPEATED: ReportVerdict
REPORT_VERDICT_STALE: ReportVerdict
REPORT_VERDICT_REFUSED: ReportVerdict
QUEUE_REASON_UNSPECIFIED: QueueReason
QUEUE_REASON_NEXT: QueueReason
QUEUE_REASON_NO_RUNNER: QueueReason
QUEUE_REASON_UNKNOWN_TASK: QueueReason
QUEUE_REASON_VERSION_TOO_LOW: QueueReason
QUEUE_REASON_DEPENDENCIES: QueueReason
QUEUE_REASON_RETRY_DELAY: QueueReason
QUEUE_REASON_JOB_STOPPED: QueueReason

class ExchangeRequest(_message.Message):
    __slots__ = ("runner_id", "cluster_slug", "identifiers", "computed", "failed", "returned", "max_tasks", "wait", "claim_id", "is_repeated")
    RUNNER_ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_SLUG_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIERS_FIELD_NUMBER: _ClassVar[int]
    COMPUTED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    RETURNED_FIELD_NUMBER: _ClassVar[int]
    MAX_TASKS_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    CLAIM_ID_FIELD_NUMBER: _ClassVar[int]
    IS_REPEATED_FIELD_NUMBER: _ClassVar[int]
    runner_id: bytes
    cluster_slug: str
    identifiers: _containers.RepeatedCompositeFieldContainer[_core_pb2.TaskIdentifier]
    computed: _containers.RepeatedCompositeFieldContainer[ComputedReport]
    failed: _containers.RepeatedCompositeFieldContainer[FailedReport]
    returned: _containers.RepeatedCompositeFieldContainer[TaskLeaseNumber]
    max_tasks: int
    wait: _duration_pb2.Duration
    claim_id: bytes
    is_repeated: bool
    def __init__(self, runner_id: _Optional[bytes] = ..., cluster_slug: _Optional[str] = ..., identifiers: _Optional[_Iterable[_Union[_core_pb2.TaskIdentifier, _Mapping]]] = ..., computed: _Optional[_Iterable[_Union[ComputedReport, _Mapping]]] = ..., failed: _Optional[_Iterable[_Union[FailedReport, _Mapping]]] = ..., returned: _Optional[_Iterable[_Union[TaskLeaseNumber, _Mapping]]] = ..., max_tasks: _Optional[int] = ..., wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., claim_id: _Optional[bytes] = ..., is_repeated: bool = ...) -> None: ...

class TaskLeaseNumber(_message.Message):
    __slots__ = ("task_id", "lease_number")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    LEASE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    task_id: bytes
    lease_number: int
    def __init__(self, task_id: _Optional[bytes] = ..., lease_number: _Optional[int] = ...) -> None: ...

class ComputedReport(_message.Message):
    __slots__ = ("task_id", "lease_number", "display", "sub_tasks", "progress_updates", "execution_us")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    LEASE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_FIELD_NUMBER: _ClassVar[int]
    SUB_TASKS_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_UPDATES_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_US_FIELD_NUMBER: _ClassVar[int]
    task_id: bytes
    lease_number: int
    display: str
    sub_tasks: _core_pb2.TaskSubmissions
    progress_updates: _containers.RepeatedCompositeFieldContainer[_core_pb2.Progress]
    execution_us: int
    def __init__(self, task_id: _Optional[bytes] = ..., lease_number: _Optional[int] = ..., display: _Optional[str] = ..., sub_tasks: _Optional[_Union[_core_pb2.TaskSubmissions, _Mapping]] = ..., progress_updates: _Optional[_Iterable[_Union[_core_pb2.Progress, _Mapping]]] = ..., execution_us: _Optional[int] = ...) -> None: ...

class FailedReport(_message.Message):
    __slots__ = ("task_id", "lease_number", "display", "progress_updates", "kind", "error", "retry_after")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    LEASE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_UPDATES_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_FIELD_NUMBER: _ClassVar[int]
    task_id: bytes
    lease_number: int
    display: str
    progress_updates: _containers.RepeatedCompositeFieldContainer[_core_pb2.Progress]
    kind: FailureKind
    error: str
    retry_after: _duration_pb2.Duration
    def __init__(self, task_id: _Optional[bytes] = ..., lease_number: _Optional[int] = ..., display: _Optional[str] = ..., progress_updates: _Optional[_Iterable[_Union[_core_pb2.Progress, _Mapping]]] = ..., kind: _Optional[_Union[FailureKind, str]] = ..., error: _Optional[str] = ..., retry_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ExchangeResponse(_message.Message):
    __slots__ = ("outcomes", "tasks", "jobs", "lease", "extend_after", "is_more_to_come")
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    JOBS_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    EXTEND_AFTER_FIELD_NUMBER: _ClassVar[int]
    IS_MORE_TO_COME_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[ReportOutcome]
    tasks: _containers.RepeatedCompositeFieldContainer[LeasedTask]
    jobs: _containers.RepeatedCompositeFieldContainer[LeasedJob]
    lease: _duration_pb2.Duration
    extend_after: _duration_pb2.Duration
    is_more_to_come: bool
    def __init__(self, outcomes: _Optional[_Iterable[_Union[ReportOutcome, _Mapping]]] = ..., tasks: _Optional[_Iterable[_Union[LeasedTask, _Mapping]]] = ..., jobs: _Optional[_Iterable[_Union[LeasedJob, _Mapping]]] = ..., lease: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., extend_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., is_more_to_come: bool = ...) -> None: ...

class ReportOutcome(_message.Message):
    __slots__ = ("verdict", "message")
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    verdict: ReportVerdict
    message: str
    def __init__(self, verdict: _Optional[_Union[ReportVerdict, str]] = ..., message: _Optional[str] = ...) -> None: ...

class LeasedTask(_message.Message):
    __slots__ = ("task_id", "lease_number", "identifier", "input", "display", "job", "retry_count", "max_retries")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    LEASE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIER_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    RETRY_COUNT_FIELD_NUMBER: _ClassVar[int]
    MAX_RETRIES_FIELD_NUMBER: _ClassVar[int]
    task_id: bytes
    lease_number: int
    identifier: int
    input: bytes
    display: str
    job: int
    retry_count: int
    max_retries: int
    def __init__(self, task_id: _Optional[bytes] = ..., lease_number: _Optional[int] = ..., identifier: _Optional[int] = ..., input: _Optional[bytes] = ..., display: _Optional[str] = ..., job: _Optional[int] = ..., retry_count: _Optional[int] = ..., max_retries: _Optional[int] = ...) -> None: ...

class LeasedJob(_message.Message):
    __slots__ = ("job_id", "name", "trace_parent")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TRACE_PARENT_FIELD_NUMBER: _ClassVar[int]
    job_id: bytes
    name: str
    trace_parent: str
    def __init__(self, job_id: _Optional[bytes] = ..., name: _Optional[str] = ..., trace_parent: _Optional[str] = ...) -> None: ...

class ExtendLeasesRequest(_message.Message):
    __slots__ = ("runner_id", "leases")
    RUNNER_ID_FIELD_NUMBER: _ClassVar[int]
    LEASES_FIELD_NUMBER: _ClassVar[int]
    runner_id: bytes
    leases: _containers.RepeatedCompositeFieldContainer[TaskLeaseNumber]
    def __init__(self, runner_id: _Optional[bytes] = ..., leases: _Optional[_Iterable[_Union[TaskLeaseNumber, _Mapping]]] = ...) -> None: ...

class ExtendLeasesResponse(_message.Message):
    __slots__ = ("lost", "lease", "extend_after")
    LOST_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    EXTEND_AFTER_FIELD_NUMBER: _ClassVar[int]
    lost: _containers.RepeatedCompositeFieldContainer[TaskLeaseNumber]
    lease: _duration_pb2.Duration
    extend_after: _duration_pb2.Duration
    def __init__(self, lost: _Optional[_Iterable[_Union[TaskLeaseNumber, _Mapping]]] = ..., lease: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., extend_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ReportDeathRequest(_message.Message):
    __slots__ = ("runner_id", "executing", "cause")
    RUNNER_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTING_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    runner_id: bytes
    executing: _containers.RepeatedCompositeFieldContainer[TaskLeaseNumber]
    cause: str
    def __init__(self, runner_id: _Optional[bytes] = ..., executing: _Optional[_Iterable[_Union[TaskLeaseNumber, _Mapping]]] = ..., cause: _Optional[str] = ...) -> None: ...

class ReportDeathResponse(_message.Message):
    __slots__ = ("crashed", "returned")
    CRASHED_FIELD_NUMBER: _ClassVar[int]
    RETURNED_FIELD_NUMBER: _ClassVar[int]
    crashed: int
    returned: int
    def __init__(self, crashed: _Optional[int] = ..., returned: _Optional[int] = ...) -> None: ...

class ExplainJobRequest(_message.Message):
    __slots__ = ("job_id", "limit")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    job_id: _id_pb2.ID
    limit: int
    def __init__(self, job_id: _Optional[_Union[_id_pb2.ID, _Mapping]] = ..., limit: _Optional[int] = ...) -> None: ...

class ExplainJobResponse(_message.Message):
    __slots__ = ("tasks",)
    TASKS_FIELD_NUMBER: _ClassVar[int]
    tasks: _containers.RepeatedCompositeFieldContainer[QueuedTask]
    def __init__(self, tasks: _Optional[_Iterable[_Union[QueuedTask, _Mapping]]] = ...) -> None: ...

class QueuedTask(_message.Message):
    __slots__ = ("task_id", "display", "cluster_slug", "identifier", "reason", "explanation", "waits_for")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_SLUG_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    WAITS_FOR_FIELD_NUMBER: _ClassVar[int]
    task_id: _id_pb2.ID
    display: str
    cluster_slug: str
    identifier: _core_pb2.TaskIdentifier
    reason: QueueReason
    explanation: str
    waits_for: _containers.RepeatedCompositeFieldContainer[_id_pb2.ID]
    def __init__(self, task_id: _Optional[_Union[_id_pb2.ID, _Mapping]] = ..., display: _Optional[str] = ..., cluster_slug: _Optional[str] = ..., identifier: _Optional[_Union[_core_pb2.TaskIdentifier, _Mapping]] = ..., reason: _Optional[_Union[QueueReason, str]] = ..., explanation: _Optional[str] = ..., waits_for: _Optional[_Iterable[_Union[_id_pb2.ID, _Mapping]]] = ...) -> None: ...

class AwaitJobRequest(_message.Message):
    __slots__ = ("job_id", "wait", "computed_at_least")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    COMPUTED_AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    job_id: _id_pb2.ID
    wait: _duration_pb2.Duration
    computed_at_least: int
    def __init__(self, job_id: _Optional[_Union[_id_pb2.ID, _Mapping]] = ..., wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., computed_at_least: _Optional[int] = ...) -> None: ...
