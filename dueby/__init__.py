"""DueBy for notebooks and scripts: `import dueby`. (The command's subcommands are in `dueby.cli`.)

    import dueby

    answer = dueby.plan("job.yaml", profiles="profiles", pool={"NVIDIA-L4": 8})
    answer.gpus, answer.expected_seconds              # (3, 548.2)
    rows = dueby.read_results("s3://bucket/results")  # a pyarrow Table, sorted by index
    rows.to_pandas()

`import dueby` itself loads nothing: what a name needs is imported when the name is first used. For more than this there
are the packages beneath, `dueby_api` and `dueby_planner`; jobs are run by `dueby run` and by the operator.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dueby.library import plan, read_results

    __version__: str

__all__ = ["__version__", "plan", "read_results"]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("dueby")
    if name in __all__:
        from dueby import library

        return getattr(library, name)
    raise AttributeError(f"module 'dueby' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
