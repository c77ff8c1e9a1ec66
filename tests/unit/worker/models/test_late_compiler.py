"""Workers load torch's compiler only if their engine compiles."""

import pytest

from support.fresh_process import modules_after

LOAD = """
from dueby_api.inference_job import Model
from dueby_worker.engines.build import build_engine
from dueby_worker.models.loading import load_model
model = load_model(Model(name="squeezenet1_1", weights="none", image_size=64))
engine = build_engine(name="eager", loaded=model, mini_batch_size=1, precision="fp32", threads=1)
batch = engine.buffer()
batch[...] = 0
engine.submit(batch)
engine.collect()
import sys
assert "torchvision" in sys.modules
assert not sys.modules.keys() & {"torch._dynamo", "torch._dynamo.utils", "torch._inductor", "sympy"}
"""


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param("sys.modules['torchvision.ops.roi_align'].is_compile_supported('cpu')", id="what was put off"),
        pytest.param("torch.compile(torch.nn.ReLU(), backend='eager')(torch.ones(1))", id="the compiler"),
    ],
)
def test_a_worker_with_a_model_of_torchvision_loads_it_when_it_is_asked_and_not_before(ask: str) -> None:
    loaded = modules_after(
        f"{LOAD}\nimport torch\nfound = {ask}\n"
        "from torch._dynamo.utils import is_compile_supported\n"
        "assert bool(found) == is_compile_supported('cpu') and sys.modules['torch._dynamo.utils'].__file__"
    )

    assert {"torch._dynamo", "torch._dynamo.utils"} <= loaded


def test_whatever_else_is_wanted_of_the_compiler_is_there_at_once() -> None:
    loaded = modules_after(
        "from dueby_worker.models.late_compiler import compiler_imported_late\n"
        "with compiler_imported_late():\n"
        "    from torch._dynamo.utils import counters, is_compile_supported\n"
        "import torch._dynamo.utils\n"
        "assert counters is torch._dynamo.utils.counters\n"
    )

    assert "torch._dynamo.utils" in loaded
