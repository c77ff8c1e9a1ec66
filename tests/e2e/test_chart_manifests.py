"""What the chart renders for its values; no cluster is asked."""

from typing import Any

import pytest

from support.chart import of_kind, rendered

pytestmark = pytest.mark.cluster
DIGEST = "sha256:" + "ab" * 32


def images(**values: Any) -> tuple[str, str, str]:
    """The images of the operator, of its test and of workers."""
    documents = rendered(**values)
    (deployment,) = of_kind(documents, "Deployment").values()
    (pod,) = of_kind(documents, "Pod").values()
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    (worker,) = [word for word in container["args"] if word.startswith("--worker-image=")]
    return container["image"], pod["spec"]["containers"][0]["image"], worker.removeprefix("--worker-image=")


def test_a_digest_wins_over_a_tag() -> None:
    operator, tested, worker = images(image={"tag": "9", "digest": DIGEST}, worker={"image": {"tag": "8"}})
    assert operator == tested == f"dueby/operator@{DIGEST}"
    assert worker == "dueby/worker:8"
    operator, _, worker = images(worker={"image": {"digest": DIGEST}})
    assert (operator, worker) == ("dueby/operator:0.1.0", f"dueby/worker@{DIGEST}")


def test_what_is_no_digest_is_refused() -> None:
    with pytest.raises(AssertionError, match="at '/image/digest': 'latest' does not match"):
        rendered(image={"digest": "latest"})
