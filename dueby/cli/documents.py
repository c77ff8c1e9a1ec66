"""An answer for scripts on stdout, as `-o json` and `-o yaml` ask for it, and nothing else there."""

import json
import sys
from typing import Any

from dueby.inputs.files import to_yaml


def print_document(document: dict[str, Any], output: str) -> None:
    """Print the document on stdout, as JSON or as YAML."""
    sys.stdout.write(
        json.dumps(document, indent=2, ensure_ascii=False) + "\n" if output == "json" else to_yaml(document)
    )
