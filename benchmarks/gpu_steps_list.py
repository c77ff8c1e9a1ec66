"""The steps of gpu_steps.py, the most telling first: a table, and a function for each kind.

A step returns what it found, as JSON can hold it. It raises Skipped where this machine lacks something that is no
fault, and metering.Failed, or anything else, where something is wrong.
"""

import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from dueby.inputs.files import read_profiles
from dueby_api.run_record import PlanFile, ProgressFile
from dueby_api.schema import decode
from gpu_steps_bench import LATE, MODEL, REPOSITORY, Bench, Scale, Skipped, Trial
from metering import Failed
from photos import ORIGINALS, write_photos
from pipeline_table import agreement
from pipeline_ways import WAYS, rows_of_dueby
from pipeline_ways import Bench as PeersBench
from pipeline_ways import Way as Peer
from pipeline_ways import run as run_peer

SMI = (
    ("nvidia-smi",),
    ("nvidia-smi", "-L"),
    ("nvidia-smi", "-q", "-d", "CLOCK,POWER,PERFORMANCE,ECC"),
    ("nvidia-smi", "topo", "-m"),
    ("df", "-h", "/dev/shm"),
)
PROFILE = "profile"


@dataclass(frozen=True, kw_only=True)
class Step:
    """Something that a GPU shows."""

    name: str
    shows: str
    minutes: float
    """About how long it takes; it may take all that is left of a call."""
    run: Callable[[Bench], Mapping[str, Any]]
    needs: tuple[str, ...] = ()
    """Steps without which it can't be done."""
    is_continued: bool = False
    """Whether it goes on where it was when a call's time was over, in the next one."""


def steps_of(scale: Scale) -> tuple[Step, ...]:
    """All steps, in their order."""
    return tuple(replace(step, minutes=scale.pace * step.minutes) for step in _steps(scale))


def _steps(scale: Scale) -> Iterator[Step]:
    found = ("cuda",)
    # Engines at the precision of the profile and of the runs; the other trials follow these.
    first = [trial for trial in scale.trials if trial.precision == scale.precision and not trial.is_slow_to_build]
    yield from (
        Step(name="driver", shows="the driver, its limits and the GPU's state", minutes=0.5, run=read_driver),
        Step(name="torch", shows="a PyTorch with CUDA, installed where there is none", minutes=6, run=install_torch),
        Step(
            name="cuda",
            shows="what PyTorch, NVML and the engines say of the GPU",
            minutes=0.5,
            run=read_facts,
            needs=("torch",),
        ),
        Step(name="tests", shows="the tests that need a GPU", minutes=4, run=run_tests, needs=found),
        *(_trial_step(trial, scale) for trial in first),
        Step(name=PROFILE, shows="a quick profile beside hot steps", minutes=4.5, run=profile, needs=found),
        *_run_steps(scale),
        Step(
            name="decoder",
            shows="what the GPU's decoder would gain by regions, and its unit for JPEGs",
            minutes=1,
            run=run_decoder,
            needs=found,
        ),
        *(
            Step(
                name=f"loop-{way.name}",
                shows=f"the same photos through {way.title}",
                minutes=2,
                run=partial(run_loop, way=way),
                needs=found,
            )
            for way in WAYS
            if way.name in scale.loops
        ),
        Step(name="timm", shows="timm's benchmark", minutes=1, run=run_timm, needs=found),
        Step(
            name="timm-compiled",
            shows="timm's benchmark with torch.compile",
            minutes=3,
            run=partial(run_timm, is_compiled=True),
            needs=found,
        ),
        *(_trial_step(trial, scale) for trial in scale.trials if trial not in first),
        Step(name="study", shows="the study's figures", minutes=4, run=study, needs=found, is_continued=True),
    )


def _run_steps(scale: Scale) -> Iterator[Step]:
    for cores in scale.cores:
        yield Step(
            name=run_name(cores),
            shows=f"{scale.photos:,} JPEGs through `dueby run` with {cores} cores",
            minutes=3,
            run=partial(run_job, cores=cores),
            needs=(PROFILE,),
        )
    for cores in scale.gpu_decoder_cores:
        yield Step(
            name=f"{run_name(cores)}-gpu-decoder",
            shows=f"the same with {cores} cores and `decoder: gpu`",
            minutes=3,
            run=partial(run_job, cores=cores, decoder="gpu"),
            needs=(PROFILE,),
        )


def _trial_step(trial: Trial, scale: Scale) -> Step:
    return Step(
        name=trial.name,
        shows=f"build, W, L, memory and parity of {trial.engine} at {trial.precision}",
        minutes=1.5 + trial.build_s * len(_sizes(trial, scale)) / 60,
        run=partial(try_engine, trial=trial),
        needs=("cuda",),
    )


def _sizes(trial: Trial, scale: Scale) -> tuple[int, ...]:
    return scale.sizes[:1] if trial.is_slow_to_build else scale.sizes


def run_name(cores: int) -> str:
    """The step's that runs a job with so many cores."""
    return f"run-{cores}-cores"


# ---- the machine


def read_driver(bench: Bench) -> Mapping[str, Any]:
    """What nvidia-smi says; all of it stands in the step's log."""
    environment = _stand_in_smi(bench.work) if bench.is_stand_in else {}
    # The first must answer. Others are refused in some virtual machines.
    said = {
        " ".join(words): bench.run(words, environment=environment, codes=(0,) if words is SMI[0] else range(256))
        for words in SMI
    }
    return {"said": {words: cost.outputs[0] for words, cost in said.items()}}


def _stand_in_smi(folder: Path) -> dict[str, str]:
    program = folder / "bin" / "nvidia-smi"
    program.parent.mkdir(exist_ok=True)
    program.write_text('#!/bin/sh\necho "a stand-in was asked for: $*"\n')
    program.chmod(0o755)
    return {"PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}


def install_torch(bench: Bench) -> Mapping[str, Any]:
    """Install what the worker's image has, in place of a PyTorch for CPUs."""
    before = _cuda_of_torch()
    if before and not bench.is_stand_in:
        return {"torch": version("torch"), "cuda": before, "installed": False}
    requirements, options = REPOSITORY / "requirements" / "torch.txt", ["--force-reinstall", "--require-hashes"]
    if bench.is_stand_in:
        requirements, options = bench.work / "torch.txt", ["--no-index"]
        requirements.write_text(f"torch=={version('torch')}\n")
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-deps", *options]
    bench.run([*command, "-r", str(requirements), *bench.pip_args])
    after = _cuda_of_torch()
    if not (after or bench.is_stand_in):
        raise Failed("pip's index gave a PyTorch without CUDA; name another one: make gpu PIP_ARGS='--index-url ...'")
    return {"torch": version("torch"), "cuda": after, "installed": True}


def _cuda_of_torch() -> str | None:
    # Not by importing it: this process would keep the one that is replaced.
    torch = find_spec("torch")
    if torch is None or torch.origin is None:
        return None
    cuda: str | None = runpy.run_path(str(Path(torch.origin).with_name("version.py")))["cuda"]
    return cuda


def read_facts(bench: Bench) -> Mapping[str, Any]:
    """What each of them says; a GPU that PyTorch can't use is a failure, with its reason."""
    environment = _stand_in_nvml(bench.work) if bench.is_stand_in else {}
    facts: Mapping[str, Any] = bench.run_script("gpu_steps_facts.py", environment=environment)
    if facts["obstacle"] and not bench.is_stand_in:
        raise Failed(facts["obstacle"])
    return facts


def _stand_in_nvml(folder: Path) -> dict[str, str]:
    """The tests' NVML in the folder; nothing where there is no compiler."""
    if shutil.which("cc") is None:
        return {}
    source = REPOSITORY / "tests" / "support" / "nvml_standin.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "libnvidia-ml.so.1", source], check=True)
    return {"LD_LIBRARY_PATH": str(folder)}


def run_tests(bench: Bench) -> Mapping[str, Any]:
    """How many passed; a stand-in finds and skips them."""
    folder = REPOSITORY / bench.scale.tests
    files = [path for path in sorted(folder.rglob("test_*.py")) if "mark.gpu" in path.read_text()]
    required = {} if bench.is_stand_in else {"DUEBY_REQUIRE_GPU": "1"}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-m",
        "gpu",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(REPOSITORY),
    ]
    output = bench.run([*command, *map(str, files)], environment=required, codes=(0, 1)).outputs[0]
    counts = {word: int(count) for count, word in re.findall(r"(\d+) (passed|failed|skipped|error)", output)}
    wrong = re.findall(r"^(?:FAILED|ERROR) .*", output, re.M)
    if wrong or not counts:
        raise Failed("\n".join(wrong) or output[-1000:])
    return counts


# ---- engines and profiles


def try_engine(bench: Bench, *, trial: Trial) -> Mapping[str, Any]:
    """The engine's times; results that differ from plain fp32's are a failure."""
    if obstacle := bench.result("cuda")["engines"].get(trial.name):
        raise Skipped(obstacle)
    scale = bench.scale
    words = ["--engine", trial.engine, "--precision", trial.precision, "--hot-s", str(scale.hot_s)]
    words += [*(["--onnx"] if trial.is_onnx else []), "--sizes", *map(str, _sizes(trial, scale))]
    environment = _stand_in_nvml(bench.work) if bench.is_stand_in else {}
    found: Mapping[str, Any] = bench.run_script("gpu_steps_engine.py", *words, environment=environment)
    if wrong := [point["parity"] for point in found["points"] if not point["agrees"]]:
        raise Failed(wrong[0])
    return found


def profile(bench: Bench) -> Mapping[str, Any]:
    """The profile's L beside the hot one of the same engine, by mini-batch size."""
    scale, words = bench.scale, ["--model", MODEL, "--precision", bench.scale.precision, "--engine", bench.scale.engine]
    words += ["--class", bench.device_class]
    shutil.rmtree(bench.profiles, ignore_errors=True)
    if bench.is_stand_in:
        # A short one: 45 s are too long for each change of this repository. On one core it is of one process a group.
        core = sorted(os.sched_getaffinity(0))[:1]
        bench.run_script("gpu_steps_profile.py", *words, "--seconds", "1", "-o", bench.profiles, cores=core)
    else:
        bench.run_dueby("profile", "--quick", *words, "-o", bench.profiles)
    # Each GPU of the class has one.
    spec = read_profiles([str(bench.profiles)])[0].spec
    hot = _hot_micros(bench, f"{spec.engine}-{scale.precision}")
    steps = {str(step.mini_batch_size): step.latency_micros.mean for step in spec.steps}
    return {
        "engine": spec.engine,
        "latencyMicros": steps,
        "contention": spec.contention,
        "hotMicros": hot,
        "overHot": {size: steps[size] / hot[size] for size in steps if size in hot},
        "maxMiniBatchSize": spec.max_mini_batch_size,
        "startupMicros": spec.startup_micros.p50 if spec.startup_micros else None,
    }


def _hot_micros(bench: Bench, step: str) -> dict[str, float]:
    path = bench.folder / "steps" / f"{step}.json"
    found = bench.result(step) if path.exists() else {}
    return {str(point["miniBatchSize"]): point["hotMicros"] for point in found.get("points", ())}


# ---- end to end


def prepare(bench: Bench) -> PeersBench:
    """Photos and weights, made where they are missing; what the loops are told."""
    scale = bench.scale
    peers = PeersBench(
        folder=bench.work,
        photos=scale.photos,
        precision=scale.precision,
        device=scale.device,
        batch=scale.sizes[0],
        workers=1 if bench.is_stand_in else len(os.sched_getaffinity(0)),
        limit_s=bench.left_s,
    )
    if len(list(peers.pictures.glob("*.jpg"))) < scale.photos:
        write_photos(peers.pictures, scale.photos)
    if not peers.weights("timm").exists():
        from random_weights import write_weights

        fitted = sorted(peers.pictures.glob("*.jpg"))[: scale.fitted]
        files = {loop: peers.weights(loop) for loop in ("torchvision", "timm")}
        write_weights(fitted, len(ORIGINALS), torchvision_file=files["torchvision"], timm_file=files["timm"])
    return replace(peers, limit_s=bench.left_s)


def run_job(bench: Bench, *, cores: int, decoder: str = "cpu") -> Mapping[str, Any]:
    """How fast `dueby run` is with so many cores, and where the time goes."""
    allowed = sorted(os.sched_getaffinity(0))
    if cores > len(allowed):
        raise Skipped(f"there are {len(allowed)} cores here")
    if decoder == "gpu":
        _require_codec()
    peers, sink = prepare(bench), rows_folder(bench, cores)
    shutil.rmtree(sink, ignore_errors=True)
    job = {
        "apiVersion": "dueby.dev/v1alpha1",
        "kind": "InferenceJob",
        "metadata": {"name": "gpu"},
        # So short that the plan takes what is fastest; being late is no fault.
        "spec": {
            "deadline": "1s",
            "model": {"name": MODEL, "weights": str(peers.weights("torchvision")), "precision": bench.scale.precision},
            "gpus": {"classes": [bench.device_class], "max": 1},
            "source": {"uri": str(peers.pictures), "decoder": decoder},
            "sink": {"uri": str(sink)},
        },
    }
    manifest = bench.work / "job.yaml"
    manifest.write_text(yaml.safe_dump(job))
    words = ["-f", str(manifest), "--profiles", str(bench.profiles)]
    cost = bench.run_dueby("run", *words, cores=allowed[:cores], codes=(0, LATE))
    (record,) = (sink / "_dueby" / "runs").iterdir()
    progress = decode(ProgressFile, (record / "progress.json").read_bytes())
    plan = decode(PlanFile, (record / "plan.json").read_bytes())
    (worker, *_) = progress.workers.values()
    planned = bench.result(PROFILE)["latencyMicros"].get(str(worker.mini_batch_size))
    spent = plan.revisions[0].input_cost
    return {
        "cores": cores,
        "decoder": decoder,
        "photos": bench.scale.photos,
        "engine": worker.engine,
        "seconds": cost.wall_s,
        "imagesPerSecond": bench.scale.photos / cost.wall_s,
        "steadyImagesPerSecond": 1e6 * worker.mini_batch_size / worker.step_us if worker.step_us else None,
        "miniBatchSize": worker.mini_batch_size,
        "stepMicros": worker.step_us,
        "latencyMicros": planned,
        "startupMicros": worker.startup_us,
        "decodeMicros": spent.decode_us if spent else None,
        "readMicros": spent.get_us if spent else None,
        "cpuMicrosAnImage": 1e6 * cost.cpu_s / bench.scale.photos,
        "busyCores": cost.cpu_s / cost.wall_s,
        "peakMiB": cost.peak_mib,
    }


def _require_codec() -> None:
    # find_spec raises where not even the package around it is there.
    if find_spec("nvidia") is None or find_spec("nvidia.nvimgcodec") is None:
        raise Skipped("nvImageCodec isn't installed here; pip install 'dueby[gpu-decoding]' brings it")


def run_decoder(bench: Bench) -> Mapping[str, Any]:
    """How fast nvImageCodec decodes photos in full, and the regions alone that a model sees."""
    _require_codec()
    scale, peers = bench.scale, prepare(bench)
    words = ["--photos", str(peers.pictures), "--device", scale.device, "--seconds", str(scale.hot_s / 5)]
    found: Mapping[str, Any] = bench.run_script("gpu_steps_decoder.py", *words, "--list", str(scale.decoded_at_once))
    return found


def rows_folder(bench: Bench, cores: int) -> Path:
    """Where that run's rows are."""
    return bench.work / f"rows-{cores}"


def run_loop(bench: Bench, *, way: Peer) -> Mapping[str, Any]:
    """How fast a peer's loop is, and how often it and DueBy say the same."""
    peers, label = prepare(bench), "gpu"
    shutil.rmtree(peers.folder / f"{way.name}-{label}", ignore_errors=True)
    done = run_peer(way, peers, label=label)
    sinks = [sink for cores in bench.scale.cores if (sink := rows_folder(bench, cores)).exists()]
    return {
        "seconds": done.cost.wall_s,
        "imagesPerSecond": peers.photos / done.cost.wall_s,
        "steadyImagesPerSecond": done.steady,
        "cpuMicrosAnImage": 1e6 * done.cost.cpu_s / peers.photos,
        "sameTop1": agreement(done.top1, rows_of_dueby(sinks[-1])) if sinks else None,
    }


def run_timm(bench: Bench, *, is_compiled: bool = False) -> Mapping[str, Any]:
    """What timm's tables would say of this GPU."""
    if find_spec("timm") is None:
        raise Skipped("timm isn't installed here; pip install 'dueby[timm]' brings it")
    scale = bench.scale
    words = ["--model", scale.timm_model, "--device", scale.device, "--precision", scale.precision]
    words += ["--batch", str(scale.sizes[0]), "--steps", str(scale.timm_steps)]
    words += ["--compile", scale.compiler] if is_compiled else []
    found: Mapping[str, Any] = bench.run_script("gpu_steps_timm.py", *words)
    return found


def study(bench: Bench) -> Mapping[str, Any]:
    """The study's page and figures; it goes on where it was stopped."""
    folder, scale = bench.folder / "study", bench.scale
    words = ["--quick", "--model", MODEL, "--precision", scale.precision, "--engine", scale.engine, "-o", str(folder)]
    command = [sys.executable, "-m", "dueby_study.command", *words]
    if scale.study_s is None:
        return {"seconds": bench.run(command).wall_s, "page": str(folder / "study.html")}
    try:
        bench.run(command, limit_s=scale.study_s)
    except Failed as failure:
        if "was not done after" not in str(failure):
            raise
    raise Skipped("a stand-in has no time for a study, which was begun and stopped")
