"""Measure first mini-batches, and learn from them:

    python -m dueby_study.warmup measure --seconds 1200 -o docs/data/warmup.parquet
    python -m dueby_study.warmup learn docs/data/warmup.parquet -o docs/figures
    python -m dueby_study.warmup add docs/data/warmup.parquet profiles -o profiles

`measure` goes on where it ended: the rows are in a journal beside the file, which is made of the file if need be.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

from dueby.cli.files import read_profiles, write_profile
from dueby_api.errors import Invalid
from dueby_api.gpu_profile import CPU_ENGINES
from dueby_api.inference_job import EngineName, Model
from dueby_profiler.machine.machine import this_machine
from dueby_profiler.monitor.model_facts import weigh
from dueby_profiler.progress_listener import Audience
from dueby_study.warmup.collect import collect_warmups
from dueby_study.warmup.learn import learn_warmups
from dueby_study.warmup.planning import learn_shape
from dueby_study.warmup.points import every_point
from dueby_study.warmup.rows import read_warmups, resume_journal, write_warmups
from dueby_study.warmup.summary import document, sentences

MODELS = ("efficientnet_b0", "mobilenet_v3_large", "resnet50", "convnext_tiny")
ENGINES: tuple[EngineName, ...] = ("eager", "openvino", "cuda", "cudagraph")
IMAGE_SIZES = (96, 160, 224)
MINI_BATCH_SIZES = (1, 2, 4, 8, 16, 32)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do the one or the other; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m dueby_study.warmup", description="Warm-ups, measured and learnt.")
    verbs = parser.add_subparsers(required=True)
    _add_measure(verbs.add_parser("measure", help="measure what is missing, in fresh processes"))
    _add_learn(verbs.add_parser("learn", help="say what decides W, and draw it"))
    _add_add(verbs.add_parser("add", help="add to profiles the W that is predicted between their measured sizes"))
    options = parser.parse_args(arguments)
    try:
        options.do(options)
    except Invalid as error:
        print(f"warmup: {error}", file=sys.stderr)
        return 2
    return 0


def measure(options: argparse.Namespace) -> None:
    """Measure for so long, and write all rows."""
    machine = replace(this_machine(), node=options.node) if options.node else this_machine()
    layouts = [layout for layout in machine.layouts if not options.classes or layout.device_class in options.classes]
    points = [
        point
        for gpu in (True, False)
        for point in every_point(
            device_classes=[layout.device_class for layout in layouts if layout.is_gpu is gpu],
            engines=[engine for engine in options.engines if (engine in CPU_ENGINES) is not gpu],
            models=options.models,
            image_sizes=options.image_sizes,
            mini_batch_sizes=options.mini_batch_sizes,
            rounds=options.rounds,
        )
    ]
    options.output.parent.mkdir(parents=True, exist_ok=True)
    table = collect_warmups(
        points,
        machine=machine,
        journal=resume_journal(options.output),
        seconds=options.seconds,
        cache_dir=options.cache,
        audience=Audience(
            progress=lambda moment: print(f"{moment.doing} (at most {moment.left_s:.0f} s left)", file=sys.stderr),
            tell=lambda sentence: print(sentence, file=sys.stderr),
        ),
    )
    print(f"{write_warmups(options.output, table)}: {len(table)} rows")


def learn(options: argparse.Namespace) -> None:
    """Learn, say what was learnt, and draw it."""
    from dueby_study.warmup.charts import draw_errors, draw_importances, save

    rows = read_warmups(options.rows)
    learned = learn_warmups(rows)
    shape = learn_shape(rows, learned)
    print("\n".join(sentences(learned, shape)))
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / "warmup.json"
    path.write_text(json.dumps(document(learned, shape), indent=1) + "\n", encoding="utf-8")
    print(path)
    print(save(draw_importances, learned, options.output / "warmup-importances.png"))
    print(save(draw_errors, learned, options.output / "warmup-errors.png"))


def add(options: argparse.Namespace) -> None:
    """Learn W from the rows, predict it between each profile's measured sizes, and write the profiles."""
    shape = learn_shape(read_warmups(options.rows))
    for profile in read_profiles([str(path) for path in options.profiles]):
        about = profile.spec.model
        model = Model(name=about.name, weights="none", image_size=about.image_size, precision=about.precision)
        added, sentence = shape.add_to(profile, weigh(model))
        print(sentence, file=sys.stderr)
        print(write_profile(added, options.output))


def _add_measure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, help="for so long (default: until everything is measured)")
    parser.add_argument("--class", action="append", default=[], dest="classes", metavar="CLASS", help="these only")
    parser.add_argument("--engines", nargs="+", choices=get_args(EngineName), default=ENGINES, metavar="NAME")
    parser.add_argument("--models", nargs="+", default=MODELS, metavar="NAME")
    parser.add_argument("--image-sizes", nargs="+", type=int, default=IMAGE_SIZES, metavar="PIXELS")
    parser.add_argument("--mini-batch-sizes", nargs="+", type=int, default=MINI_BATCH_SIZES, metavar="IMAGES")
    parser.add_argument("--rounds", type=int, default=1, help="how often each (default: once)")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="keep compiled models there (default: nowhere)")
    parser.add_argument("--node", metavar="NAME", help="what the rows call this machine (default: its name)")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="FILE", help="Parquet, of all rows")
    parser.set_defaults(do=measure)


def _add_learn(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rows", type=Path, metavar="ROWS", help="what measure, or dueby profile --monitor, wrote")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="DIR", help="folder for the figures")
    parser.set_defaults(do=learn)


def _add_add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rows", type=Path, metavar="ROWS", help="what measure, or dueby profile --monitor, wrote")
    parser.add_argument("profiles", type=Path, nargs="+", metavar="PATH", help="GPUProfiles, or folders of them")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="DIR", help="folder for the profiles")
    parser.set_defaults(do=add)


if __name__ == "__main__":
    sys.exit(main())
