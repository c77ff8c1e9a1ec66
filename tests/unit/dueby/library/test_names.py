"""What `import dueby` offers, and that it loads nothing before it is used."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import dueby
from support.source_tree import PACKAGES

SLOW = {"aiohttp", "jinja2", "kopf", "kubernetes", "matplotlib", "numpy", "pandas", "pyarrow", "rich", "torch"}


def loaded_by(program: str) -> set[str]:
    """The packages that the program loads beside Python's own."""
    text = f"import sys; before = set(sys.modules); {program}; print(*sorted(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout
    return {name.partition(".")[0] for name in loaded.split()} - sys.stdlib_module_names


def test_importing_it_loads_nothing_but_python_s_own_modules() -> None:
    assert loaded_by("import dueby") == {"dueby"}


def test_its_functions_load_what_is_slow_when_they_are_called() -> None:
    loaded = loaded_by("import dueby; [getattr(dueby, name) for name in dueby.__all__]")
    assert loaded >= {"dueby", "dueby_api", "msgspec"}
    assert not loaded & SLOW


def test_it_lists_what_it_offers_and_has_nothing_else() -> None:
    functions = {"plan", "profile", "read", "run", "run_all", "submit", "wait"}
    assert functions | {"DueByError", "__version__"} <= set(dir(dueby))
    assert all(hasattr(dueby, name) for name in dueby.__all__)
    with pytest.raises(AttributeError, match="module 'dueby' has no attribute 'report_all'"):
        dueby.report_all  # noqa: B018
    assert dueby.__version__ == version("dueby")


def test_no_module_hides_what_it_offers() -> None:
    modules = {path.stem for path in Path(PACKAGES["dueby"]).iterdir()}
    assert {"cli", "library"} <= modules
    assert not modules & set(dueby.__all__) - {"__init__"}
