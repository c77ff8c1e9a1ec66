"""Programs that stand in for others."""

from pathlib import Path


def put_kubectl(folder: Path, script: str) -> None:
    """Put a kubectl there that does this."""
    program = folder / "kubectl"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
