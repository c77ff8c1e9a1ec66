"""GPUProfiles as the operator believes them."""

import json

import pytest

from dueby_api.errors import Invalid
from dueby_api.schema import Raw
from dueby_operator.gathering.gather import read_profile
from dueby_operator.resources.rules import RULES
from support.planner import profile_document


def test_a_measured_profile_is_read() -> None:
    assert read_profile(Raw(json.dumps(profile_document()).encode())).name == "a100"


def test_no_promise_is_made_by_an_assumed_profile() -> None:
    document = profile_document(assumed=True, source="a table, MIT")

    with pytest.raises(Invalid, match=r"^spec\.assumed: a cluster's promises take measured profiles"):
        read_profile(Raw(json.dumps(document).encode()))
    assert any(
        "self.assumed" in rule and "measured profiles" in sentence for rule, sentence in RULES["GPUProfile", "spec"]
    )
