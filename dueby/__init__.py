"""DueBy for notebooks and scripts: `import dueby`. (The command's subcommands are in `dueby.cli`.)

    import dueby

    dueby.profile("efficientnet_b0", quick=True)              # measure this machine
    answer = dueby.plan("job.yaml", pool={"NVIDIA-L4": 8})    # what would run
    answer.gpus, answer.expected_seconds                      # (3, 548.2)
    dueby.curve("job.yaml", prices="prices.yaml").to_pandas() # devices and cost over the deadline
    dueby.run("job.yaml", tell=print).verdict                 # run it here
    dueby.run("photos/", "results/", model="resnet50", deadline="10m")   # the same without a manifest
    dueby.wait(dueby.submit("job.yaml"))                      # or in a cluster
    dueby.read("s3://bucket/results").to_pandas()             # the rows

`import dueby` itself loads nothing: what a name needs is imported when the name is first used. docs/library.md
describes each function. For more than this there are the packages beneath, `dueby_api` and `dueby_planner`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dueby.library.cluster_jobs import SubmittedJob, submit, wait
    from dueby.library.curves import PlannedCurve, curve
    from dueby.library.plans import Planned, plan
    from dueby.library.profiles import Profiles, profile
    from dueby.library.results import Results, read
    from dueby.library.runs import Finished, run, run_all
    from dueby_api.errors import DueByError, Invalid, Transient

    __version__: str

__all__ = [
    "DueByError",
    "Finished",
    "Invalid",
    "Planned",
    "PlannedCurve",
    "Profiles",
    "Results",
    "SubmittedJob",
    "Transient",
    "__version__",
    "curve",
    "plan",
    "profile",
    "read",
    "run",
    "run_all",
    "submit",
    "wait",
]

# Where each name is. None of them is also a module of this package, which would hide it.
_MODULES = {
    "dueby.library.cluster_jobs": ("SubmittedJob", "submit", "wait"),
    "dueby.library.curves": ("PlannedCurve", "curve"),
    "dueby.library.plans": ("Planned", "plan"),
    "dueby.library.profiles": ("Profiles", "profile"),
    "dueby.library.results": ("Results", "read"),
    "dueby.library.runs": ("Finished", "run", "run_all"),
    "dueby_api.errors": ("DueByError", "Invalid", "Transient"),
}


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name == "__version__":
        from importlib.metadata import version

        return version("dueby")
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'dueby' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
