"""The wheel is whole: built from the source roots, it installs apart from them, and its packages have types."""

import re
import subprocess
import sys
import sysconfig
import venv
from configparser import ConfigParser
from pathlib import Path
from zipfile import ZipFile

import pytest

from support.run import MAX_WAIT_S
from support.source_tree import PACKAGES, REPOSITORY


def run(*command: str | Path, **options: str | Path) -> subprocess.CompletedProcess[str]:
    """The command's result, its output with it."""
    words = [str(part) for part in command]
    return subprocess.run(words, capture_output=True, text=True, timeout=MAX_WAIT_S, **options)  # type: ignore[call-overload, no-any-return]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree, built without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    built = run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=REPOSITORY)
    assert built.returncode == 0, built.stderr
    (file,) = folder.glob("dueby-*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment with the wheel: our dependencies are lent to it, this source tree isn't."""
    home = tmp_path_factory.mktemp("installed")
    venv.create(home, symlinks=True)
    command = (sys.executable, "-m", "pip", "--python", home, "install", "--quiet", "--no-deps", "--no-index", wheel)
    done = run(*command)
    assert done.returncode == 0, done.stderr
    (site_packages,) = home.glob("lib/python*/site-packages")
    # A path added by a .pth file has its own .pth files ignored, the editable install's of this tree among them.
    (site_packages / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home / "bin"


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(wheel: Path) -> None:
    tree = {
        str(file.relative_to(folder.parent))
        for folder in PACKAGES.values()
        for file in folder.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    packed = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == tree


@pytest.mark.parametrize("image", ["operator", "worker"])
def test_each_image_is_built_from_every_package(image: str) -> None:
    roots = {folder.relative_to(REPOSITORY).parts[0] for folder in PACKAGES.values()}
    copied = re.findall(r"^COPY (\w+) \1$", (REPOSITORY / f"Dockerfile.{image}").read_text(), re.M)
    assert set(copied) == roots
    assert {f"!{root}" for root in roots} <= set((REPOSITORY / ".dockerignore").read_text().splitlines())


def test_an_image_is_built_without_what_it_may_go_without() -> None:
    lines = re.findall(r"^COPY (.*) \S+$", (REPOSITORY / "Dockerfile.worker").read_text(), re.M)
    optional = [name for line in lines for name in line.split() if "[" in name]
    # Docker fails where a folder before the wildcard isn't there, and a fresh checkout has no build folder.
    assert [name.partition("[")[0].rpartition("/")[0] for name in optional] == [""]


def test_the_wheel_names_the_command_the_licence_and_the_extras(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        texts = {Path(name).name: archive.read(name).decode() for name in archive.namelist() if ".dist-info/" in name}
    entry_points = ConfigParser()
    entry_points.read_string(texts["entry_points.txt"])
    assert dict(entry_points["console_scripts"]) == {
        "dueby": "dueby.cli.main:main",
        "dueby-study": "dueby_study.command:main",
    }
    assert "Apache License" in texts["LICENSE"]
    assert "License-Expression: Apache-2.0" in texts["METADATA"]
    for extra in ("operator", "cluster", "worker", "profiler", "study", "dev"):
        assert f"Provides-Extra: {extra}" in texts["METADATA"]


def test_installed_its_packages_are_ordinary_ones_and_its_command_answers(installed: Path) -> None:
    program = f"import {', '.join(PACKAGES)}; print(all(p.__file__ for p in ({', '.join(PACKAGES)})))"
    packages = run(installed / "python", "-c", program)
    assert (packages.stdout, packages.stderr) == ("True\n", "")
    answer = run(installed / "dueby", "--help")
    assert answer.returncode == 0, answer.stderr
    assert {"profile", "plan", "run", "calendar", "report"} <= set(
        answer.stdout.replace(",", " ").replace("{", " ").split()
    )


def test_installed_it_tells_a_type_checker_its_types(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text("from dueby_api.inference_job import parse_job\nparse_job(3)\n")
    python = installed / "python"
    checked = run(sys.executable, "-m", "mypy", "--strict", "--python-executable", python, "user.py", cwd=tmp_path)
    assert 'Argument 1 to "parse_job" has incompatible type "int"' in checked.stdout


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_is_marked_as_typed(package: str) -> None:
    marker = PACKAGES[package] / "py.typed"
    assert marker.is_file(), "without it mypy ignores the types of this package where it is installed"
