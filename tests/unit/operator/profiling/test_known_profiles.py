"""Profiles are found by model, and predictions are made of them, as if all were looked at."""

import pytest

from dueby_api.gpu_profile import GPUProfile
from dueby_api.inference_job import Model
from dueby_operator.profiling.known_profiles import KnownProfiles
from dueby_planner.profiles.class_profiles import matching
from support.operator import profile


def about(device_class: str, **model: object) -> GPUProfile:
    found = profile(device_class)
    name = "-".join(map(str, [device_class, *model.values()]))
    spec = found.spec.replace(model=found.spec.model.replace(**model))
    return found.replace(metadata=found.metadata.replace(name=name), spec=spec)


ALL = [about(name, name=model, image_size=size) for name in ("a", "b") for model in ("m", "n") for size in (192, 224)]


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(Model(name="m", image_size=224), id="any engine"),
        pytest.param(Model(name="m", image_size=224, engine="openvino"), id="its engine"),
        pytest.param(Model(name="m", image_size=224, engine="cuda"), id="another engine"),
        pytest.param(Model(name="m", image_size=64), id="another size"),
        pytest.param(Model(name="other"), id="another model"),
    ],
)
def test_the_profiles_of_a_model_are_those_that_match_it(model: Model) -> None:
    assert list(KnownProfiles(ALL).of(model)) == matching(ALL, model)


def test_a_size_is_predicted_for_the_classes_that_have_not_measured_it() -> None:
    measured = about("a", name="m", image_size=200)
    known = KnownProfiles([*ALL, measured])
    assert {found.spec.device_class for found in known.predicted(Model(name="m", image_size=200))} == {"b"}
    assert known.predicted(Model(name="m", image_size=224)) == ()


def test_a_new_profile_takes_the_place_of_one_of_its_name() -> None:
    known, (first, *others) = KnownProfiles(ALL), ALL
    changed = first.replace(spec=first.spec.replace(max_mini_batch_size=64))
    after = known.having(changed)
    assert after.all == (*others, changed)
    assert changed in after.of(Model(name="m", image_size=192))
    assert first not in after.of(Model(name="m", image_size=192))
    assert first in known.of(Model(name="m", image_size=192))
