"""`dueby plan` on eight A100 that do 64 images in 14 ms after a first 900 ms (990 at p95), and no start-up."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from dueby.cli.main import main
from support.planner import A100, job_document, profile_document, step_document

Plan = Callable[..., tuple[int, str, str]]


def plan_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Plan:
    """Return what calls `dueby plan` on a job with these fields, and returns exit code, stdout and stderr."""

    def call(
        *options: str, profiles: list[dict[str, Any]] | None = None, pool: str | None = f"{A100}=8", **spec: Any
    ) -> tuple[int, str, str]:
        folder = tmp_path / "profiles"
        folder.mkdir(exist_ok=True)
        for number, document in enumerate([profile()] if profiles is None else profiles):
            (folder / f"{number}.yaml").write_text(yaml.safe_dump(document))
        path = tmp_path / "job.yaml"
        path.write_text(yaml.safe_dump(job_document(**({"images": 200_000, "deadline": "10s"} | spec))))
        words = ["plan", "-f", str(path), "--profiles", str(folder), *(["--pool", pool] if pool else []), *options]
        code = main(words)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def profile(**spec: Any) -> dict[str, Any]:
    """The profile of those A100."""
    fields: dict[str, Any] = {
        "startupMicros": {"p50": 0, "p95": 0},
        "spread": {"run": 0.01, "node": 0.02},
        "steps": [step_document(64, 14_000, 990_000, p50=900_000)],
    } | spec
    return profile_document(**fields)
