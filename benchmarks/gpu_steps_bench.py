"""What the steps of gpu_steps.py share: how large everything is, where it lies, and how their programs are run.

A step's programs have processes of their own: a GPU's memory is free again after each, and a crash ends no other step.
"""

import json
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dueby_api.engines import ENGINES, EngineName, Precision
from metering import Command, Cost, run_metered

HERE = Path(__file__).parent
REPOSITORY = HERE.parent
MODEL = "efficientnet_b0"
# The most telling first.
PRECISIONS: tuple[Precision, ...] = ("fp16", "fp32", "bf16")
LATE = 4
SLOW_BUILD_S = 45.0


class Skipped(Exception):
    """This machine lacks what the step needs; the sentence says what."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """An engine at a precision that has a step of its own."""

    engine: EngineName
    precision: Precision
    is_onnx: bool = False
    """Whether it gets the network as an ONNX file."""

    @property
    def build_s(self) -> float:
        """About how many seconds a build takes."""
        return ENGINES[self.engine].build_s

    @property
    def is_slow_to_build(self) -> bool:
        """Whether a build may take minutes: then one has to do."""
        return self.build_s > SLOW_BUILD_S

    @property
    def name(self) -> str:
        """The step's."""
        return f"{self.engine}-{self.precision}"


def gpu_trials() -> tuple[Trial, ...]:
    """Return all engines for GPUs at all their precisions."""
    names = [entry for entry in ENGINES.values() if entry.device == "gpu"]
    order = [*PRECISIONS, *sorted({precision for entry in names for precision in entry.precisions} - {*PRECISIONS})]
    return tuple(
        Trial(engine=entry.name, precision=precision, is_onnx="torch" not in entry.formats)
        for precision in order
        for entry in names
        if precision in entry.precisions
    )


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How large everything is."""

    device: str
    """PyTorch's name of the device."""
    device_class: str | None
    """None: that of the first GPU."""
    trials: tuple[Trial, ...]
    precision: Precision
    """That of the profile and of the runs."""
    engine: str
    """That of the profile; `auto` compares."""
    sizes: tuple[int, ...]
    """Mini-batch sizes at which engines are measured. The first heats the device."""
    hot_s: float
    """Steady steps at the first size; the others have a fifth of it."""
    photos: int
    fitted: int
    """Photos that the weights are made from."""
    cores: tuple[int, ...]
    gpu_decoder_cores: tuple[int, ...]
    """Those with which photos are decoded on the GPU."""
    decoded_at_once: int
    """Photos in a list that nvImageCodec decodes."""
    loops: tuple[str, ...]
    """The peers of pipeline_ways.py."""
    tests: str
    """The folder of the tests that are asked for."""
    timm_model: str
    timm_steps: int
    compiler: str
    """torch.compile's backend, for timm's benchmark."""
    pace: float = 1.0
    """How long steps take beside a GPU's."""
    study_s: float | None = None
    """After how long the study is stopped; None: it is made."""


GPU = Scale(
    device="cuda",
    device_class=None,
    trials=gpu_trials(),
    precision="fp16",
    engine="auto",
    sizes=(256, 64, 1),
    hot_s=15.0,
    photos=20_000,
    fitted=128,
    cores=(2, 8, 16),
    gpu_decoder_cores=(2,),
    decoded_at_once=64,
    # timm's as its defaults are differs in the layout of its tensors only.
    loops=("torchvision", "torchvision-tuned", "timm-tuned"),
    tests="tests",
    timm_model=MODEL,
    timm_steps=40,
    compiler="inductor",
)
# In place of a GPU's engines: one that computes on cores, one that gets an ONNX file, and one that can't run here.
STAND_IN = Scale(
    device="cpu",
    device_class="cpu-1",
    trials=(
        Trial(engine="eager", precision="fp32"),
        Trial(engine="openvino", precision="fp32", is_onnx=True),
        Trial(engine="cudagraph", precision="fp16"),
    ),
    precision="fp32",
    engine="eager",
    sizes=(2, 1),
    hot_s=0.2,
    photos=8,
    fitted=2,
    cores=(2,),
    # Nothing stands in for a worker's; nvImageCodec has a decoder for cores, too.
    gpu_decoder_cores=(),
    decoded_at_once=2,
    loops=("torchvision-tuned", "timm"),
    tests="tests/unit/profiler/machine",
    timm_model="test_efficientnet",
    timm_steps=2,
    compiler="eager",
    pace=0.1,
    study_s=4.0,
)


@dataclass(kw_only=True)
class Bench:
    """One call of gpu_steps.py."""

    folder: Path
    is_stand_in: bool
    ends_s: float
    """When the call has to be over, by the monotonic clock."""
    pip_args: Sequence[str] = ()
    log: Path = field(default=Path("/dev/null"))
    """Of the step that runs now."""

    @property
    def scale(self) -> Scale:
        """How large everything is."""
        return STAND_IN if self.is_stand_in else GPU

    @property
    def work(self) -> Path:
        """The folder of what is large and can be made again: photos, weights, rows."""
        return self.folder / "work"

    @property
    def profiles(self) -> Path:
        """The folder of profiles."""
        return self.folder / "profiles"

    @property
    def left_s(self) -> float:
        """Seconds until the call has to be over."""
        return self.ends_s - time.monotonic()

    @property
    def device_class(self) -> str:
        """The class that is measured."""
        return self.scale.device_class or str(self.result("cuda")["gpus"][0]["product"])

    def result(self, step: str) -> Mapping[str, Any]:
        """What a step before has found."""
        result: Mapping[str, Any] = json.loads((self.folder / "steps" / f"{step}.json").read_text())["result"]
        return result

    def run(
        self,
        arguments: Sequence[str | Path],
        *,
        environment: Mapping[str, str] | None = None,
        cores: Collection[int] = (),
        codes: Collection[int] = (0,),
        limit_s: float | None = None,
    ) -> Cost:
        """Run a program; raise metering.Failed with the end of its log if it fails, or if the call's time is over."""
        words = [str(argument) for argument in arguments]
        command = Command(arguments=words, environment=environment or {}, cores=cores, codes=codes)
        with self.log.open("a") as log:
            log.write(f"$ {' '.join(words)}\n")
        cost = run_metered([[command]], self.log, limit_s=min(self.left_s, limit_s or self.left_s))
        with self.log.open("a") as log:
            log.write(cost.outputs[0])
        return cost

    def run_script(self, name: str, *arguments: str | Path, **options: Any) -> Any:
        """Run a script of this folder; return what it prints last, from JSON."""
        output = self.run([sys.executable, HERE / name, *arguments], **options).outputs[0]
        return json.loads(output.splitlines()[-1])

    def run_dueby(self, *arguments: str | Path, **options: Any) -> Cost:
        """Run `dueby`."""
        return self.run([sys.executable, "-m", "dueby.cli.main", *arguments], **options)
