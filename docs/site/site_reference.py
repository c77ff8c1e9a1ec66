"""The pages that are made from the code, so that they say what it does: resources, command, library, examples.

Each has the path of the code that it is made from. The documents link to that code, which is there for readers of the
repository; on the site such a link leads to the page.
"""

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dueby
from dueby_api.schema import Spec
from dueby_operator.resources.crds import job_crd, profile_crd
from dueby_operator.resources.schemas import field_documents
from site_command import command_page
from site_markdown import plain
from site_schema import resource_page


@dataclass(frozen=True, kw_only=True)
class MadePage:
    """A page of the site: the code that it is made from, its name on the site, and its text as Markdown."""

    source: str
    name: str
    text: str


def made_pages(repository: Path) -> list[MadePage]:
    """Return every page that is made from the code of the repository."""
    return [
        MadePage(source="crds/inferencejobs.yaml", name="reference/inferencejob.md", text=resource_page(job_crd())),
        MadePage(source="crds/gpuprofiles.yaml", name="reference/gpuprofile.md", text=resource_page(profile_crd())),
        MadePage(source="dueby/cli/arguments.py", name="reference/command.md", text=command_page()),
        MadePage(source="dueby/__init__.py", name="reference/library.md", text=library_page()),
        *_example_pages(repository),
    ]


def library_page() -> str:
    """Return the page about what `import dueby` offers, from its docstrings."""
    blocks = ["# The Python library", inspect.getdoc(dueby) or ""]
    for name in sorted(set(dueby.__all__) - {"__version__"}):
        offered = getattr(dueby, name)
        if inspect.isfunction(offered):
            blocks += [f"## {name}", _code(f"dueby.{name}{_signature(offered)}"), inspect.getdoc(offered) or ""]
            blocks += _result(name, inspect.signature(offered).return_annotation)
    return "\n\n".join(blocks) + "\n"


def _result(function: str, kind: object) -> Iterator[str]:
    """Yield the fields of what a function returns, if that is declared in dueby_api."""
    if isinstance(kind, type) and issubclass(kind, Spec):
        declared = [found for found in kind.__mro__ if issubclass(found, Spec) and found.__struct_fields__]
        told = {name: text for found in declared for name, text in field_documents(found).items()}
        yield f"What a {kind.__name__} has:"
        for name, outside in zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True):
            yield f"[`{name}`]{{#{function}-{name}}}\n: {plain(told[outside])}"


def _signature(function: object) -> str:
    """Return a function's parameters, a line for each, without the names of the modules that their types are in."""
    assert callable(function)
    signature = inspect.signature(function)
    lines = []
    keyword_only = False
    for parameter in signature.parameters.values():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            lines.append("*")
        lines.append(str(parameter))
    result = inspect.formatannotation(signature.return_annotation).strip("'")
    text = "(\n" + "".join(f"    {line},\n" for line in lines) + f") -> {result}"
    return re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Z])", "", text)


def _example_pages(repository: Path) -> Iterator[MadePage]:
    """Yield a page for each manifest to start from, and one for each folder of them."""
    for folder in [repository / "examples", *sorted((repository / "examples").glob("*/"))]:
        manifests, folders = sorted(folder.glob("*.yaml")), sorted(folder.glob("*/"))
        names = [manifest.stem for manifest in manifests] + [f"{found.name}/index" for found in folders]
        path = folder.relative_to(repository)
        text = f"# Manifests in {path}\n\n```{{toctree}}\n" + "\n".join(names) + "\n```\n"
        yield MadePage(source=str(path), name=f"{path}/index.md", text=text)
        for manifest in manifests:
            text = f"# {manifest.name}\n\n{_code(manifest.read_text(), 'yaml')}\n"
            yield MadePage(source=f"{path}/{manifest.name}", name=f"{path}/{manifest.stem}.md", text=text)


def _code(text: str, language: str = "python") -> str:
    return f"```{language}\n{text.rstrip()}\n```"
