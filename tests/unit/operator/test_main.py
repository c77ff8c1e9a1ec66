"""The operator's options, before there is a cluster."""

import pytest

from dueby_operator.__main__ import main


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        pytest.param("--ignore-other-pods", "--ignore-other-pods: needs --watch-namespace", id="no other namespaces"),
        pytest.param("--worker-memory=much", "--worker-memory: 'much' is not a quantity", id="no memory"),
        pytest.param("--scratch-size=large", "--scratch-size: 'large' is not a quantity", id="no disk"),
        pytest.param("--slice-cpus=0", "--slice-cpus: must be from 1 to 9999", id="slices of no core"),
        pytest.param("--worker-grace-seconds=-1", "--worker-grace-seconds: must be from 0 to 3600", id="no time"),
        pytest.param("--ttl-after-finished=7d", "--ttl-after-finished: ", id="days"),
        pytest.param("--calendar-page=8082", "--calendar-page: must be an address and a port", id="no address"),
        pytest.param(
            "--cache-volume={}", "--cache-volume: give one of persistentVolumeClaim and hostPath", id="no cache"
        ),
        pytest.param('--cache-volume={"nfs": {}}', "--cache-volume: ", id="another volume"),
        pytest.param("--profiler={}", "--profiler", id="a profiler without its name"),
        pytest.param('--stores={"stores": [{"prefix": "photos"}]}', "--stores: stores[0].prefix: ", id="no prefix"),
    ],
)
def test_an_option_that_is_wrong_is_refused_by_its_name(
    option: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["--worker-image=w", option])
    assert sentence in capsys.readouterr().err
