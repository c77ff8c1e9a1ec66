"""How commands end: a sentence and an exit code, whatever was raised."""

import pytest

from dueby.cli.main import exit_code
from dueby_api.errors import DueByError, Invalid, Transient


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (Invalid("spec.images", "must be a number"), 2, "dueby run: spec.images: must be a number\n"),
        (Transient("the store is away"), 1, "dueby run: the store is away. Try the same command again later.\n"),
        (DueByError("2 workers ended before their time"), 1, "dueby run: 2 workers ended before their time\n"),
    ],
)
def test_what_goes_wrong_is_told_in_a_line(
    error: Exception, code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> int:
        raise error

    assert exit_code("dueby run", fail) == code
    assert capsys.readouterr().err == sentence
