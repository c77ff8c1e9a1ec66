"""Measure first mini-batches, learn what decides their time, and add the result to profiles.

    python -m dueby_study.warmup measure --seconds 1200 -o docs/data/warmup.parquet
    python -m dueby_study.warmup learn docs/data/warmup.parquet -o docs/figures
    python -m dueby_study.warmup add docs/data/warmup.parquet profiles -o profiles

`measure` continues where it was stopped: rows are kept in a journal beside the file, and the journal is made from the
file if it is missing. Each subcommand imports what it needs, so that a missing library can be named with what to
install.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

from dueby.cli.main import exit_code
from dueby.inputs.files import read_profiles, write_profile
from dueby.inputs.needs import needing
from dueby_api.engines import EngineName, runs_on_cpu
from dueby_api.inference_job import Model
from dueby_profiler.files import write_text

_EXAMPLES = """\
examples:
  python -m dueby_study.warmup measure --seconds 1200 -o warmup.parquet   measure for 20 minutes
  python -m dueby_study.warmup add warmup.parquet profiles -o profiles    add predicted W to these profiles
"""
MODELS = ("efficientnet_b0", "mobilenet_v3_large", "resnet50", "convnext_tiny")
ENGINES: tuple[EngineName, ...] = ("eager", "openvino", "cuda", "cudagraph")
IMAGE_SIZES = (96, 160, 224)
MINI_BATCH_SIZES = (1, 2, 4, 8, 16, 32)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m dueby_study.warmup",
        description="Measure first mini-batches (warm-ups, W), and learn what decides their time.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, purpose, add_arguments in (
        ("measure", "measure first mini-batches in fresh processes", _add_measure),
        ("learn", "print what decides W, and draw it", _add_learn),
        ("add", "add predictions of W between the measured sizes to profiles", _add_add),
    ):
        add_arguments(verbs.add_parser(name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}."))
    options = parser.parse_args(arguments)
    return exit_code("warmup", lambda: _do(options), is_resumed=options.do is measure)


def _do(options: argparse.Namespace) -> int:
    with needing("this command", "study"):
        options.do(options)
    return 0


def measure(options: argparse.Namespace) -> None:
    """Measure until the time is over; write all rows."""
    from dueby_profiler.machine.machine import this_machine
    from dueby_profiler.progress_listener import ProgressListener
    from dueby_study.warmup.collecting.collect import collect_warmups
    from dueby_study.warmup.collecting.points import every_point
    from dueby_study.warmup.collecting.rows import resume_journal, write_warmups

    machine = replace(this_machine(), node=options.node) if options.node else this_machine()
    layouts = [layout for layout in machine.layouts if not options.classes or layout.device_class in options.classes]
    points = [
        point
        for gpu in (True, False)
        for point in every_point(
            device_classes=[layout.device_class for layout in layouts if layout.is_gpu is gpu],
            engines=[engine for engine in options.engines if runs_on_cpu(engine) is not gpu],
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
        listener=ProgressListener(
            on_progress=lambda update: print(f"{update.doing} (at most {update.left_s:.0f} s left)", file=sys.stderr),
            on_message=lambda message: print(message, file=sys.stderr),
        ),
    )
    print(f"{write_warmups(options.output, table)}: {len(table)} rows")


def learn(options: argparse.Namespace) -> None:
    """Learn from the rows; print what was learnt, and draw it."""
    from dueby_study.warmup.charts import draw_errors, draw_importances, save
    from dueby_study.warmup.collecting.rows import read_warmups
    from dueby_study.warmup.learning.learn import learn_warmups
    from dueby_study.warmup.predicting.learned_shape import learn_shape
    from dueby_study.warmup.summary import document, sentences

    rows = read_warmups(options.rows)
    learned = learn_warmups(rows)
    shape = learn_shape(rows, learned)
    print("\n".join(sentences(learned, shape)))
    print(write_text(options.output / "warmup.json", json.dumps(document(learned, shape), indent=1) + "\n"))
    print(save(draw_importances, learned, options.output / "warmup-importances.png"))
    print(save(draw_errors, learned, options.output / "warmup-errors.png"))


def add(options: argparse.Namespace) -> None:
    """Learn W from the rows, predict it between each profile's measured sizes, and write the profiles."""
    from dueby_profiler.monitor.warmup_rows import weigh
    from dueby_study.warmup.collecting.rows import read_warmups
    from dueby_study.warmup.predicting.learned_shape import learn_shape

    shape = learn_shape(read_warmups(options.rows))
    for profile in read_profiles([str(path) for path in options.profiles]):
        about = profile.spec.model
        model = Model(name=about.name, weights="none", image_size=about.image_size, precision=about.precision)
        added, sentence = shape.add_to(profile, weigh(model))
        print(sentence, file=sys.stderr)
        print(write_profile(added, options.output))


def _add_measure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, help="stop after this time (default: when everything is measured)")
    parser.add_argument(
        "--class",
        action="append",
        default=[],
        dest="classes",
        metavar="CLASS",
        help="measure this device class only; may be repeated (default: all)",
    )
    engines = get_args(EngineName)
    parser.add_argument(
        "--engines",
        nargs="+",
        choices=engines,
        default=ENGINES,
        metavar="NAME",
        help=f"of {', '.join(engines)} {_default(ENGINES)}",
    )
    parser.add_argument("--models", nargs="+", default=MODELS, metavar="NAME", help=_default(MODELS))
    parser.add_argument(
        "--image-sizes", nargs="+", type=int, default=IMAGE_SIZES, metavar="PIXELS", help=_default(IMAGE_SIZES)
    )
    parser.add_argument(
        "--mini-batch-sizes",
        nargs="+",
        type=int,
        default=MINI_BATCH_SIZES,
        metavar="IMAGES",
        help=_default(MINI_BATCH_SIZES),
    )
    parser.add_argument("--rounds", type=int, default=1, help="how often to measure each (default: once)")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="keep compiled models in this folder (default: none)")
    parser.add_argument("--node", metavar="NAME", help="this machine's name in the rows (default: its host name)")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="FILE", help="Parquet file for all rows")
    parser.set_defaults(do=measure)


def _default(values: Sequence[object]) -> str:
    return f"(default: {', '.join(map(str, values))})"


def _add_learn(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rows", type=Path, metavar="ROWS", help="what measure, or dueby profile --monitor, wrote")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="DIR", help="folder for the figures")
    parser.set_defaults(do=learn)


def _add_add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rows", type=Path, metavar="ROWS", help="what measure, or dueby profile --monitor, wrote")
    parser.add_argument("profiles", type=Path, nargs="+", metavar="PROFILES", help="GPUProfiles, or folders of them")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="DIR", help="folder for the profiles")
    parser.set_defaults(do=add)


if __name__ == "__main__":
    sys.exit(main())
