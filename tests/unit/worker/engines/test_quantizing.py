"""Networks that are quantized to int8: how near they are to fp32, what is kept of them, and what is refused."""

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from torchvision.models import SwinTransformer

from dueby_api.engines import EngineName
from dueby_api.errors import DueByError, Invalid
from dueby_api.inference_job import Model
from dueby_api.output import Output
from dueby_worker.engines import openvino, openvino_network
from dueby_worker.engines.agreement import measure_agreement
from dueby_worker.engines.build import build_engine
from dueby_worker.engines.parity import check_parity
from dueby_worker.models.loading import LoadedModel, load_model
from support.foreign_models import SIDE as TIMM_SIDE
from support.foreign_models import timm_folder, timm_network
from support.models import loaded, noise, photo
from support.onnx_files import SIDE, write_model

PHOTOS = ("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")
needs_nncf = pytest.mark.skipif(find_spec("nncf") is None, reason="needs NNCF: pip install 'dueby[int8]'")


def model() -> LoadedModel:
    return loaded("efficientnet_lite0", weights="DEFAULT", image_size=224)


@needs_nncf
def test_a_quantized_network_says_of_photos_what_fp32_says() -> None:
    from dueby_worker.engines.quantizing import quantize

    photos = [(name, photo(name, model().preprocessing)[0]) for name in PHOTOS]
    given = model().replace(quantized=quantize(model(), [pixels for _, pixels in photos]))
    engine = build_engine(name="openvino", loaded=given, mini_batch_size=2, precision="int8", threads=1)
    assert engine.precision == "int8"
    assert check_parity(engine, given).ok
    # Of the others, two classes are about as likely.
    agreement = measure_agreement(engine, given, [shown for shown in photos if shown[0] == "coffee.png"])
    assert agreement is not None
    assert agreement.same_top1 == 1
    assert agreement.max_difference is not None
    assert agreement.max_difference > 1e-3, "or it would not be int8"


@needs_nncf
def test_an_onnx_file_is_quantized_like_other_models(tmp_path: Path) -> None:
    from dueby_worker.engines.quantizing import quantize

    file = write_model(tmp_path)
    given = load_model(Model(name="onnx/small", weights=str(file.path), image_size=SIDE))
    photos = list(noise(8, SIDE))
    given = given.replace(quantized=quantize(given, photos))
    engine = build_engine(name="openvino", loaded=given, mini_batch_size=2, precision="int8", threads=1)
    agreement = measure_agreement(engine, given, [("noise", pixels) for pixels in photos])
    assert agreement is not None
    assert agreement.max_difference is not None
    assert 1e-6 < agreement.max_difference < 0.1


@needs_nncf
def test_a_transformer_s_embeddings_are_near_to_those_of_fp32(tmp_path: Path) -> None:
    from dueby_worker.engines.quantizing import quantize

    folder = timm_folder(tmp_path, timm_network())
    model = Model(name="timm/test_vit", weights=folder, image_size=TIMM_SIDE)
    given = load_model(model, Output(kind="Embedding"))
    photos = [(name, photo(name, given.preprocessing)[0]) for name in PHOTOS]
    given = given.replace(quantized=quantize(given, [pixels for _, pixels in photos]))
    engine = build_engine(name="openvino", loaded=given, mini_batch_size=2, precision="int8", threads=1)
    agreement = measure_agreement(engine, given, photos)
    assert agreement is not None
    assert agreement.least_similarity is not None
    # Quantized like a network without attention, it is 0.2.
    assert 0.95 < agreement.least_similarity < 1, "or it would not be int8"


@pytest.mark.parametrize(("name", "expected"), [("test_vit", True), ("test_convnext", False), ("test_resnet", False)])
def test_networks_with_attention_are_known(name: str, expected: bool, tmp_path: Path) -> None:
    from dueby_worker.engines.quantizing import has_attention

    folder = timm_folder(tmp_path, timm_network(name))
    model = Model(name=f"timm/{name}", weights=folder, image_size=TIMM_SIDE)
    assert has_attention(openvino_network.convert(load_model(model))) is expected


def test_attention_that_is_written_out_is_known() -> None:
    from dueby_worker.engines.quantizing import has_attention

    swin = SwinTransformer(patch_size=[4, 4], embed_dim=16, depths=[2], num_heads=[2], window_size=[4, 4])
    network = openvino_network.convert(loaded().replace(module=swin.eval()))
    assert "ScaledDotProductAttention" not in {layer.get_type_name() for layer in network.get_ops()}
    assert has_attention(network)


@needs_nncf
def test_for_times_a_network_is_quantized_once_and_kept(tmp_path: Path) -> None:
    from dueby_worker.engines.quantizing import quantize_for_times

    given = load_model(Model(name="onnx/small", weights=str(write_model(tmp_path).path), image_size=SIDE))
    first = quantize_for_times(given, tmp_path)
    (kept,) = (tmp_path / "int8").iterdir()
    assert kept.read_bytes() == first
    kept.write_bytes(b"as it was kept")
    assert quantize_for_times(given, tmp_path) == b"as it was kept"


@needs_nncf
def test_a_network_that_was_not_quantized_is_never_taken_for_one() -> None:
    with pytest.raises(DueByError, match="efficientnet_lite0 is to run at int8 and was not quantized"):
        build_engine(name="openvino", loaded=model(), mini_batch_size=2, precision="int8", threads=1)


@needs_nncf
@pytest.mark.parametrize(
    "damaged", [b"", b"no archive", b"PK\x05\x06" + bytes(18)], ids=["empty", "no zip", "no files"]
)
def test_a_network_that_is_damaged_is_an_error_with_what_to_do(damaged: bytes) -> None:
    given = model().replace(quantized=damaged)
    with pytest.raises(Invalid, match=r"the int8 network is damaged .*; delete it from the sink's _dueby/int8"):
        build_engine(name="openvino", loaded=given, mini_batch_size=2, precision="int8", threads=1)


def test_without_nncf_int8_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    assert openvino.find_obstacle("int8") == "int8 needs NNCF: pip install 'dueby[int8]', in the worker's image too"


@pytest.mark.parametrize("name", ["eager", "compile"])
def test_other_engines_have_no_int8(name: EngineName) -> None:
    with pytest.raises(Invalid, match=f"{name} at int8: PyTorch's layers aren't quantized"):
        build_engine(name=name, loaded=model(), mini_batch_size=2, precision="int8", threads=1)
