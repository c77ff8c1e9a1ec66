"""What is missing is named in a sentence, with what to install or where to go, by every subcommand and its --help."""

import json
import subprocess
import sys
import textwrap
from functools import cache
from pathlib import Path

import pytest

from dueby.inputs.needs import needing, require_linux
from dueby_api.errors import Invalid
from support.run import MAX_WAIT_S, MODEL, SIDE, profile_document
from support.source_modules import MODULES

# What `pip install .` brings, with what that brings, and what isn't on PyPI.
SMALL = {"jinja2", "markupsafe", "msgspec", "pulp", "yaml", "rich"}
JOB = f"""\
apiVersion: dueby.dev/v1alpha1
kind: InferenceJob
metadata: {{name: small}}
spec:
  images: 100
  deadline: 10m
  model: {{name: {MODEL["name"]}, imageSize: {SIDE}}}
  source: {{uri: photos}}
  sink: {{uri: results}}
"""
PLAN, CALENDAR = "plan -f job.yaml --profiles profile.yaml --pool cpu-1=4", "calendar -f list.json"
LIST = '{"apiVersion": "v1", "kind": "List", "items": []}'


@cache
def extras() -> list[str]:
    """What more it takes to do everything."""
    return sorted({name for module in MODULES for name, _ in module.foreign_imports} - SMALL)


def without(blocked: list[str], *words: str, folder: Path) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command on a machine that lacks these modules."""
    script = """
        import sys

        class Absent:
            def find_spec(self, name, *_):
                if name.partition(".")[0] in BLOCKED:
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        BLOCKED = sys.argv[1].split(",")
        sys.meta_path.insert(0, Absent())
        from dueby.cli.main import main

        sys.exit(main(sys.argv[2:]))
    """
    command = [sys.executable, "-c", textwrap.dedent(script), ",".join(blocked), *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=MAX_WAIT_S)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a job, a list of jobs and a profile."""
    (tmp_path / "job.yaml").write_text(JOB)
    (tmp_path / "list.json").write_text(LIST)
    (tmp_path / "profile.yaml").write_text(json.dumps(profile_document()))
    return tmp_path


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param("run -f job.yaml", "dueby run: run: needs", id="run"),
        pytest.param("profile", "dueby profile: profile: needs", id="profile"),
        pytest.param("report results", "dueby report: report: needs", id="report"),
        pytest.param("calendar", "dueby calendar: calendar: needs kubernetes; ", id="calendar"),
    ],
)
def test_what_needs_an_extra_names_it(words: str, said: str, folder: Path) -> None:
    code, _, stderr = without(extras(), *words.split(), folder=folder)
    assert code == 2
    assert stderr.startswith(said)
    assert "install it with: pip install 'dueby[" in stderr
    assert stderr.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        "--help",
        *(f"{name} --help" for name in ("run", "profile", "plan", "calendar", "report", "doctor")),
        *(
            f"plan -f job.yaml --profiles profile.yaml --pool cpu-1=4 -o {output}"
            for output in ("json", "table", "html")
        ),
        *(f"calendar -f list.json -o {output}" for output in ("json", "table", "html")),
    ],
)
@pytest.mark.parametrize("more", [[], ["fcntl", "resource"]], ids=["small", "another-system"])
def test_the_small_installation_helps_plans_and_shows_calendars(words: str, more: list[str], folder: Path) -> None:
    code, stdout, stderr = without([*extras(), *more], *words.split(), folder=folder)
    assert code in (0, 3), stderr
    assert stdout
    assert "Traceback" not in stderr


@pytest.mark.parametrize("more", [[], ["fcntl", "resource"]], ids=["small", "another-system"])
def test_the_doctor_of_the_small_installation_says_what_it_lacks(more: list[str], folder: Path) -> None:
    code, stdout, stderr = without([*extras(), *more], "doctor", folder=folder)
    assert (code, stderr) == (0, "")
    assert "absent  torch: it is not installed; plan and calendar work without it" in stdout
    assert "pip install 'dueby[profiler]'" in stdout
    assert "absent  cluster: needs kubernetes; install it with: pip install 'dueby[cluster]'" in stdout


def test_a_module_of_ours_that_is_missing_is_a_fault() -> None:
    with pytest.raises(ModuleNotFoundError), needing("run", "profiler"):
        raise ModuleNotFoundError("No module named 'dueby_worker'", name="dueby_worker.nothing")


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_what_runs_on_linux_alone_says_so(platform: str) -> None:
    with pytest.raises(Invalid, match=f"needs Linux, and this is {platform}; plan, calendar and report work here"):
        require_linux("run", platform=platform)
    require_linux("run", platform="linux")
