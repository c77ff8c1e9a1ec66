"""Compiled models are kept in a folder of this user's alone, or nowhere."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dueby_api.inference_job import Model
from dueby_api.output import Output
from dueby_worker.engines.cache import cached_file
from dueby_worker.models.known_model import is_known, know_model
from dueby_worker.system.cache_folder import require_own, usable_cache


def link(folder: Path) -> None:
    target = folder.with_name("elsewhere")
    target.mkdir(mode=0o700)
    folder.symlink_to(target)


def owned_by(user: int) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        folder.mkdir(mode=0o700)
        os.chown(folder, user, user)

    return make


def with_mode(mode: int) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        folder.mkdir()
        folder.chmod(mode)

    return make


ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
REFUSED = [
    pytest.param(with_mode(0o777), "other users may write to it; delete it, or run chmod -R go-w", id="all may write"),
    pytest.param(with_mode(0o1777), "other users may write to it", id="all may write, as in /tmp"),
    pytest.param(with_mode(0o770), "other users may write to it", id="a group may write"),
    pytest.param(owned_by(54321), "it belongs to another user", id="another user's", marks=ROOT_ONLY),
    pytest.param(link, "it is a link", id="a link"),
]


@pytest.mark.parametrize(("make", "reason"), REFUSED)
def test_a_folder_that_others_may_write_to_is_refused(
    tmp_path: Path, make: Callable[[Path], None], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    make(tmp_path / "cache")
    assert usable_cache(tmp_path / "cache") is None
    assert caplog.messages[0].startswith(f"nothing is kept in {tmp_path}/cache: {reason}")


@pytest.mark.parametrize("mode", [None, 0o700, 0o755], ids=["it is made", "its user's alone", "others may read"])
def test_a_folder_that_only_its_user_may_write_to_is_open_to_nobody_else(tmp_path: Path, mode: int | None) -> None:
    folder = tmp_path / "not there yet" / "cache"
    if mode is not None:
        folder.mkdir(parents=True)
        folder.chmod(mode)
    require_own(folder)
    assert folder.stat().st_mode & 0o777 == 0o700


def test_nothing_is_read_from_a_folder_that_others_may_write_to(tmp_path: Path) -> None:
    model = Model(name="efficientnet_lite0", weights="none")
    know_model(model, Output(), tmp_path / "cache")
    assert is_known(model, Output(), tmp_path / "cache")
    (tmp_path / "cache").chmod(0o777)
    assert not is_known(model, Output(), tmp_path / "cache")


def test_a_link_in_the_cache_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "foreign").write_bytes(b"foreign")
    (tmp_path / "kept").symlink_to(tmp_path / "foreign")
    assert cached_file(tmp_path / "kept", lambda: b"made") == b"made"
    assert (tmp_path / "kept").read_bytes() == b"made"
    assert (tmp_path / "foreign").read_bytes() == b"foreign"
