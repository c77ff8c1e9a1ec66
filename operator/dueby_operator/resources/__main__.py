"""`python -m dueby_operator.resources`: write the CRDs and the page of conditions into a working tree."""

import argparse
from pathlib import Path

from dueby_operator.resources.conditions_page import conditions_page
from dueby_operator.resources.crds import crd_files


def generated_files() -> dict[str, str]:
    """Return the files' texts by their paths in the repository."""
    crds = {f"crds/{name}": text for name, text in crd_files().items()}
    return {**crds, "docs/conditions.md": conditions_page()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-C", dest="root", type=Path, default=Path(), metavar="DIR", help="the tree (default: here)")
    root: Path = parser.parse_args().root
    for path, text in generated_files().items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


if __name__ == "__main__":
    main()
