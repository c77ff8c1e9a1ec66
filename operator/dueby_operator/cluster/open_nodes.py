"""Which nodes are open to a pod, by what it tolerates and selects, without a look at each node for each job. Pure.

Anybody may write tolerations and selectors in as many words as there are jobs, while most of these words open the same
nodes: those have few different taints, and a label's value is looked up. So jobs are told apart by the nodes that are
open to them, and not by their words.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from dueby_operator.cluster.nodes import Node, are_borne
from dueby_operator.objects.nodes import Taint, Toleration

_Taints = tuple[Taint, ...]


class OpenNodes:
    """Nodes, by their taints and labels."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._nodes = [node for node in nodes if node.is_ready]
        self._found: dict[object, frozenset[str]] = {}
        """By the taints that are tolerated and the labels that are selected."""
        self._by_label: dict[str, dict[str, set[str]]] = {}
        """By label and its value, of the labels that anybody has asked for."""

    def to(self, tolerations: Sequence[Toleration], selector: Mapping[str, str] | None) -> frozenset[str]:
        """Return the names of the nodes that take pods with these tolerations and this selector, if they have room."""
        borne = frozenset(taints for taints in self._by_taints if are_borne(taints, tolerations))
        key = borne, tuple(sorted((selector or {}).items()))
        if key not in self._found:
            found = set[str]().union(*(self._by_taints[taints] for taints in borne))
            for label, value in (selector or {}).items():
                found &= self._having(label).get(value, set())
            self._found[key] = frozenset(found)
        return self._found[key]

    @cached_property
    def _by_taints(self) -> Mapping[_Taints, set[str]]:
        found: dict[_Taints, set[str]] = defaultdict(set)
        for node in self._nodes:
            found[tuple(node.taints)].add(node.name)
        return found

    def _having(self, label: str) -> Mapping[str, set[str]]:
        if label not in self._by_label:
            found: dict[str, set[str]] = defaultdict(set)
            for node in self._nodes:
                if label in node.labels:
                    found[node.labels[label]].add(node.name)
            self._by_label[label] = found
        return self._by_label[label]
