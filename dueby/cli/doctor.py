"""`dueby doctor`: what this machine, its engines, its credentials and its cluster can do, a line each."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.text import Text

from dueby.cli.documents import print_document
from dueby.doctor.cluster import check_cluster
from dueby.doctor.finding import Asked, Check, Finding, Verdict
from dueby.doctor.machine import check_engines, check_machine, check_profiles, check_torch
from dueby.doctor.places import check_places
from dueby.terminal.console import people_console

CHECKS: Sequence[Check] = (
    check_machine,  # the system, cores and memory
    check_torch,  # what models run by, and the GPUs that it sees
    check_engines,  # each engine, and its precisions
    check_profiles,  # what was measured here
    check_places,  # the URIs that are asked about
    check_cluster,  # the CRDs, the operator, and one's rights
)
EXAMPLES = """\
examples:
  dueby doctor                                       this machine, and the cluster of the kubeconfig
  dueby doctor s3://bucket/photos s3://bucket/rows   and whether these places can be read
"""
_STYLES: dict[Verdict, str] = {"ok": "green", "absent": "yellow", "fails": "bold red"}
_WIDTH = max(map(len, _STYLES))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("uris", nargs="*", metavar="URI", help="a place of images or results, to be looked at, too")
    parser.add_argument(
        "-n", "--namespace", metavar="NAMESPACE", help="where jobs are to be created (default: the context's)"
    )
    parser.add_argument(
        "-o", "--output", choices=("table", "json", "yaml"), default="table", help="format (default: %(default)s)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Show what each check finds; return 1 if anything fails, else 0."""
    request = Asked(uris=tuple(arguments.uris), namespace=arguments.namespace)
    findings = []
    for finding in (finding for check in CHECKS for finding in check(request)):
        findings.append(finding)
        if arguments.output == "table":
            _print(finding, people_console())
    if arguments.output != "table":
        print_document({"findings": [asdict(finding) for finding in findings]}, arguments.output)
    return 1 if any(finding.verdict == "fails" for finding in findings) else 0


def _print(finding: Finding, console: Console) -> None:
    advice = f" -> {finding.advice}" if finding.advice else ""
    verdict = (f"{finding.verdict:{_WIDTH}}", _STYLES[finding.verdict])
    console.print(Text.assemble(verdict, f"  {finding.subject}: {finding.sentence}", (advice, "bold")))
