"""Documents in YAML texts that anybody may have written: a sentence with the line for whatever is wrong with one.

PyYAML takes what nobody means: of a key that is given twice the last one, a list that contains itself, and a text of
one kilobyte whose aliases make it a document of gigabytes. The nodes of each document are looked at before anything is
made of them. JSON is read too, since it is YAML.
"""

from collections.abc import Iterator
from typing import Any

import yaml
from yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode

from dueby_api.errors import Invalid

# Values that the aliases of a text may add to those that are written down.
MAX_ALIASED = 100_000
# No resource of Kubernetes has half as many.
MAX_LEVELS = 100
# libyaml's loader is ten times as fast as Python's, but PyYAML is built without it on some platforms.
_BASE: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_BASE):  # type: ignore[misc, valid-type]
    """A loader that says where a value is that is none of its type."""

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except ValueError as error:  # of Python's own conversions
            what = node.tag.rpartition(":")[2]
            sentence = f"{str(node.value)[:40]!r} can't be read as {what}; put a text into quotes"
            raise yaml.constructor.ConstructorError(None, None, sentence, node.start_mark) from error


# To kubectl a time without quotes is a text, too, such as the name of a job or the value of a label.
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _BASE.construct_yaml_str)


def parse_yaml(text: str, *, origin: str) -> list[Any]:
    """Return the documents in the text. Raise Invalid, which blames `origin`, with the line and a sentence."""
    try:
        return list(_documents(text, origin))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" in line {mark.line + 1}" if mark else ""
        problem = error.problem or "it ends too early"
        if mark and text[mark.index : mark.index + 1] == "\t":
            problem += "; it is a tab, and YAML indents with spaces"
        raise Invalid(origin, f"is not YAML{where}: {problem}") from None
    except yaml.YAMLError as error:
        raise Invalid(origin, f"is not YAML: {error}") from None


def _documents(text: str, origin: str) -> Iterator[Any]:
    loader, inspection = _Loader(text), _Inspection(origin)
    try:
        while loader.check_node():
            node = loader.get_node()
            inspection.inspect(node)
            yield loader.construct_document(node)
    finally:
        loader.dispose()


class _Inspection:
    """A look at the nodes of one document after the other; those that aliases repeat are looked at once."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.sizes: dict[Node, int] = {}
        self.above: set[Node] = set()
        self.written = 0
        self.aliased = 0
        """Values that the aliases of earlier documents have added."""

    def inspect(self, document: Node) -> None:
        """Look at the next document; raise Invalid for what nobody means."""
        self.sizes, self.written = {}, 0
        size = self.size_of(document)
        self.aliased += size - self.written

    def size_of(self, node: Node) -> int:
        """Return how many values the node is, with all that its aliases repeat; raise Invalid for what nobody means."""
        if node in self.above:
            raise self._invalid(node, "contains itself, by an alias; write out what it shall contain")
        if len(self.above) > MAX_LEVELS:
            raise self._invalid(node, "is nested too deeply")
        if node not in self.sizes:
            self.written += 1
            self.above.add(node)
            self.sizes[node] = 1 + sum(map(self.size_of, self._below(node)))
            self.above.remove(node)
            if self.aliased + self.sizes[node] - self.written > MAX_ALIASED:
                raise self._invalid(node, f"is more than {MAX_ALIASED:,} values by its aliases; write fewer of them")
        return self.sizes[node]

    def _below(self, node: Node) -> Iterator[Node]:
        if isinstance(node, MappingNode):
            self._require_single_keys(node)
            for key, value in node.value:
                yield key
                yield value
        elif isinstance(node, CollectionNode):
            yield from node.value

    def _require_single_keys(self, node: MappingNode) -> None:
        firsts: dict[tuple[str, str], Node] = {}
        for key, _ in node.value:
            if not isinstance(key, ScalarNode):
                continue
            first = firsts.setdefault((key.tag, key.value), key)
            if first is not key:
                line = first.start_mark.line + 1
                raise self._invalid(key, f"gives {key.value[:40]!r} again, which line {line} has given; keep one")

    def _invalid(self, node: Node, sentence: str) -> Invalid:
        return Invalid(self.origin, f"line {node.start_mark.line + 1} {sentence}")
