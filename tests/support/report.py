"""Sample runs for the report: the folder that `dueby run` leaves, parts and photos included, from a small simulation.

write_sink(folder, catalog_run())    8 workers of two classes, one lost after 41 s and replaced, 37 unreadable images
write_sink(folder, small_run())      2 workers, nothing happens
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import skimage
import yaml

from dueby_api.grid import Grid
from dueby_worker.output.part_names import part_name
from dueby_worker.output.rows import Origin, Rows, encode_rows
from dueby_worker.storage.uris import file_uri
from support.simulated_worker import Device
from support.simulation import SampleRun, Simulation

RUN = "20261125T020005Z"
# Photos of scikit-image's wheel, and what efficientnet_lite0 really says of them: class, label and score, best first.
PHOTOS = """
chelsea.png: 285 Egyptian cat 0.771, 282 tiger cat 0.101, 281 tabby 0.077, 287 lynx 0.011, 728 plastic bag 0.001
coffee.png: 967 espresso 0.900, 968 cup 0.035, 504 coffee mug 0.013, 925 consomme 0.009, 809 soup bowl 0.005
astronaut.png: 450 bobsled 0.197, 560 football helmet 0.167, 573 go-kart 0.048, 422 barbell 0.027, 830 stretcher 0.026
motorcycle_left.png: 665 moped 0.468, 670 motor scooter 0.330, 518 crash helmet 0.030, 535 disk brake 0.010, 661 Model T 0.005
camera.png: 872 tripod 0.949, 447 binoculars 0.010, 593 harmonica 0.007, 650 microphone 0.005, 759 reflex camera 0.003
rocket.jpg: 540 drilling platform 0.564, 657 missile 0.058, 517 crane 0.048, 744 projectile 0.036, 812 space shuttle 0.029
clock_motion.png: 971 bubble 0.550, 818 spotlight 0.196, 892 wall clock 0.100, 633 loupe 0.030, 673 mouse 0.009
retina.jpg: 619 lampshade 0.210, 607 jack-o'-lantern 0.067, 107 jellyfish 0.035, 78 tick 0.026, 117 chambered nautilus 0.024
moon.png: 111 nematode 0.263, 971 bubble 0.178, 828 strainer 0.039, 896 washbasin 0.028, 773 saltshaker 0.025
page.png: 720 pill bottle 0.599, 631 lotion 0.027, 427 barrel 0.025, 838 sunscreen 0.021, 504 coffee mug 0.018
hubble_deep_field.jpg: 971 bubble 0.131, 111 nematode 0.092, 107 jellyfish 0.043, 110 flatworm 0.033, 980 volcano 0.017
"""  # noqa: E501


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a model says of a photo, best first."""

    photo: str
    classes: tuple[int, ...]
    labels: tuple[str, ...]
    scores: tuple[float, ...]


def known_answers() -> tuple[Answer, ...]:
    """The table above."""
    answers = []
    for line in PHOTOS.strip().splitlines():
        photo, _, said = line.partition(": ")
        found = [re.fullmatch(r"(\d+) (.+) (\S+)", one) for one in said.split(", ")]
        rows = [(int(m[1]), m[2], float(m[3])) for m in found if m]
        classes, labels, scores = zip(*rows, strict=True)
        answers.append(Answer(photo=photo, classes=classes, labels=labels, scores=scores))
    return tuple(answers)


def catalog_run() -> SampleRun:
    """The large one."""
    slower = (0.01, -0.012, 0.024, 0.0, 0.004, 0.031)
    narrow = [Device(mini_batch_size=16, step_s=0.291, slower_by=share) for share in slower]
    narrow[3] = Device(mini_batch_size=16, step_s=0.291, lost_after_s=41.3)
    wide = [
        Device(device_class="cpu-2", mini_batch_size=32, step_s=0.334, startup_s=4.6, warmup_s=1.3, slower_by=share)
        for share in (0.006, -0.018)
    ]
    simulation = Simulation(
        [*narrow, *wide],
        images=54_000,
        deadline_s=120,
        failures=37,
        spare=Device(mini_batch_size=16, step_s=0.291, slower_by=0.008),
    )
    return simulation.run(job="catalog", source={"uri": "/photos/*.jpg"})


def small_run(*, source: Mapping[str, Any] | None = None) -> SampleRun:
    """The small one."""
    devices = [Device(mini_batch_size=8, step_s=0.071, slower_by=share) for share in (0.02, -0.01)]
    simulation = Simulation(devices, images=4_000, deadline_s=26)
    return simulation.run(job="small", source=source or {"uri": "/photos/*.jpg"})


def edit(sample: SampleRun, name: str, **changes: Any) -> SampleRun:
    """The same run with other values in one of its documents."""
    return replace(sample, files={**sample.files, name: {**sample.files[name], **changes}})


def due(sample: SampleRun, deadline_s: float) -> SampleRun:
    """The same run with a deadline that it had from the start, whatever its plan had to say of it."""
    first, *others = sample.files["plan.json"]["revisions"]
    slack_s = round(deadline_s - first["finishAtConfidenceSeconds"], 3)
    planned = {**first, "plan": {**first["plan"], "slackSeconds": slack_s}}
    moved = edit(sample, "plan.json", revisions=[planned, *others])
    return edit(moved, "summary.json", deadlineSeconds=deadline_s, inTime=False, verdict="Late")


def write_sink(sink: Path, sample: SampleRun, *, run: str = RUN, without: Sequence[str] = ()) -> Path:
    """The sink's folder with the run's files and the parts of what is done."""
    folder = sink / "_dueby" / "runs" / run
    folder.mkdir(parents=True)
    for name, document in sample.files.items():
        if name not in without:
            text = yaml.safe_dump(document, sort_keys=False) if name.endswith(".yaml") else json.dumps(document)
            (folder / name).write_text(text)
    grid = Grid(images=sample.images, part_size=sample.part_size)
    for part in range(grid.parts):
        if grid.bounds(part)[1] < sample.done:
            (sink / part_name(grid, part)).write_bytes(_encode(sample, *grid.bounds(part)))
    return sink


def _encode(sample: SampleRun, first: int, last: int) -> bytes:
    """A part; its images are the photos in turn, of which every thirteenth is gone from the disk."""
    answers = known_answers()
    labels = [f"class {number}" for number in range(1000)]
    for answer in answers:
        for number, label in zip(answer.classes, answer.labels, strict=True):
            labels[number] = sample.hostile + label
    chosen = [answers[index * 7 % len(answers)] for index in range(first, last + 1)]
    folders = (Path("/photos/gone"), Path(skimage.__file__).parent / "data")
    uris = [file_uri(str(folders[bool(index % 13)] / answer.photo)) for index, answer in enumerate(chosen, start=first)]
    rows = Rows(
        first=first,
        uris=[sample.hostile + uri for uri in uris],
        columns={
            "classes": np.array([answer.classes for answer in chosen], dtype=np.int32),
            "scores": np.array([answer.scores for answer in chosen], dtype=np.float32),
        },
        errors={i - first: sample.hostile + reason for i, reason in sample.failed.items() if first <= i <= last},
    )
    origin = Origin(engine="openvino", precision="fp32", device_class="cpu-1", fingerprint="f" * 64)
    return encode_rows(rows, labels=labels, origin=origin)
