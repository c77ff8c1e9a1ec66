"""The folders of this machine's user."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dueby.local.this_machine import cache_folder
from dueby_api.errors import Invalid

ASK = "from dueby.local.this_machine import cache_folder; cache_folder()"


def test_a_cache_folder_that_can_not_be_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(Invalid, match=f"^XDG_CACHE_HOME: {tmp_path}/file/dueby, .* can't be used: Not a directory"):
        cache_folder()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become a user without a home")
def test_a_user_without_a_home_is_told_what_to_set() -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CACHE_HOME")}
    # The interpreter and its packages may lie where only root may read, so the user changes once all is imported.
    script = "import os, dueby.local.this_machine; os.setuid(54321)\n" + ASK
    said = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert "XDG_CACHE_HOME: is missing, and this user has no home" in said.stderr
