"""`dueby report SINK`: write an HTML page about a run, from what the run left in its sink.

The store, the decoder and pyarrow belong to the `worker` extra. They are imported only when the command runs.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from dueby_api.errors import Invalid

if TYPE_CHECKING:
    from dueby_worker.storage.store import Store

PAGE = "report.html"
EXAMPLES = """\
examples:
  dueby report results                           the newest run into results/
  dueby report results --run 20261201T060000Z    an earlier run
  dueby report s3://bucket/results -o run.html   a run into a remote sink
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sink", metavar="SINK", help="folder of the results: the job's sink.uri")
    parser.add_argument(
        "--run", dest="run_name", metavar="NAME", help="name of the run in _dueby/runs (default: the newest)"
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help=f"file to write (default: {PAGE} beside the run's files, or here if the sink is remote)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the page, print its path and return 0."""
    from dueby.report.gather import choose_run, gather
    from dueby.report.page import render_page
    from dueby_worker.storage.stores import open_store

    store = open_store(arguments.sink, field="SINK")
    name = choose_run(store, arguments.run_name)
    page = render_page(gather(store, name))
    print(write_page(page, store=store, name=name, output=arguments.output))
    return 0


def write_page(page: str, *, store: "Store", name: str, output: str | None) -> str:
    """Write the page beside the run or to `output`, and return where it is."""
    data = page.encode("utf-8")
    if output is None and store.uri.startswith("file://"):
        from dueby.report.gather import RUNS
        from dueby_worker.storage.uris import file_path

        path = f"{RUNS}/{name}/{PAGE}"
        # Atomic, since somebody may have the page open in a browser.
        store.replace(path, data)
        return f"{file_path(store.uri)}/{path}"
    target = Path(output or PAGE)
    try:
        target.write_bytes(data)
    except OSError as error:
        raise Invalid("-o", f"{target} can't be written: {error.strerror}") from error
    return str(target.resolve())
