"""What a kernel's output is when a job is shown there."""

from __future__ import annotations

import nbformat
import pytest
from nbclient import NotebookClient

SHOW = """
from uuid import UUID
from tilebox._io.progress import display
from tilebox._core.jobs.job import job_html
from tilebox.workflows import Job, JobState
job = Job(UUID(int=1), "hello", JobState.RUNNING)
display.show_html(job_html(job, "<svg/>"))
job
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # the kernel's own client warns of nothing of ours
def test_a_job_is_html():
    document = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(SHOW)])
    NotebookClient(document, timeout=600, startup_timeout=600).execute()
    shown, result = document.cells[0].outputs
    assert "data:image/svg+xml;base64," in shown.data["text/html"]
    assert "<strong>hello</strong>" in result.data["text/html"]
    assert result.data["text/plain"].startswith("Job hello [RUNNING]: ")
