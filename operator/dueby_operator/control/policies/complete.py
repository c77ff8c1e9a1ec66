"""Complete: is every part in the sink already, before there is a worker?

parts are missing, or nothing is known     nothing
an earlier job has done them all           Finishing: the rows are counted; nothing is measured, planned or waited for

A job that has workers comes to its end in the finish policy, which is asked after they were decided on.
"""

from dataclasses import replace

from dueby_operator.control.chain import Outcome, PolicyInput
from dueby_operator.control.policies.finish import count_rows
from dueby_operator.model.job_snapshot import begun_grid, begun_parts


def complete(inputs: PolicyInput) -> Outcome:
    """Count the rows of a sink that needs no worker."""
    grid = begun_grid(inputs.status)
    if grid is None or inputs.job.workers or len(begun_parts(inputs.status)) < grid.parts:
        return Outcome()
    return replace(count_rows(inputs), ends=True)
