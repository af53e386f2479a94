"""The graph that a backward pass walks, from the loss to the parameters, as a tree of text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

Shape = tuple[int, ...]


@dataclass
class Node:
    """An operation of the forward pass, as autograd remembers it, or a tensor at its end.

    Args:
        kind: What torch calls it: `AddmmBackward0`; `AccumulateGrad` for a leaf tensor.
        shape: Of the forward pass's result; of the tensor itself for a leaf.
        leaf: The name of the leaf tensor; None for an operation.
        inputs: What the operation was computed from, as far as it needs a gradient.
        uses: How many operations, the loss included, have it as an input.
        depth: Operations on the longest way to a leaf, this one included.
    """

    kind: str
    shape: Shape | None
    leaf: str | None
    inputs: list[Node]
    uses: int = 0
    depth: int = 1


def gradient_graph(loss: Tensor, names: Mapping[str, Tensor]) -> Node:
    """Follow `grad_fn` and `next_functions` from a tensor to the leaves.

    Args:
        loss: A result that needs a gradient.
        names: Leaf tensors by the name that they are to be called by; the first name counts.

    Returns:
        The last operation's node. A node that several operations use is the same object in all.
        A leaf's own node if `loss` is itself a leaf.

    Raises:
        ValueError: The tensor has no graph: nothing that it depends on needs a gradient.
    """
    if not loss.requires_grad:
        raise ValueError("the tensor has no graph: nothing that it depends on needs a gradient")
    known: dict[int, str] = {}
    for name, tensor in names.items():
        known.setdefault(id(tensor), name)
    if loss.grad_fn is None:
        return Node("AccumulateGrad", tuple(loss.shape), known.get(id(loss), "a leaf"), [], 1)
    order = _inputs_first(loss.grad_fn)
    nodes: dict[Any, Node] = {}
    for function in order:
        inputs = [nodes[each] for each in _inputs(function)]
        node = _node(function, inputs, known)
        for each in inputs:
            each.uses += 1
        nodes[function] = node
    last = nodes[loss.grad_fn]
    last.uses += 1
    return last


def leaf_tensors(result: Tensor) -> list[Tensor]:
    """The tensors at the ends of a result's graph, each once; none where it has no graph."""
    functions = _inputs_first(result.grad_fn) if result.grad_fn is not None else []
    variables = (getattr(function, "variable", None) for function in functions)
    return [variable for variable in variables if isinstance(variable, Tensor)]


def _inputs(function: Any) -> list[Any]:
    """What a backward function hands gradients on to; None stands for what needs none."""
    return [each for each, _ in function.next_functions if each is not None]


def _inputs_first(last: Any) -> list[Any]:
    """All functions of a graph, each after those that it hands gradients to.

    It does not recurse: a graph is as deep as a forward pass is long.
    """
    order: list[Any] = []
    seen: set[Any] = set()
    stack: list[tuple[Any, bool]] = [(last, False)]
    while stack:
        function, done = stack.pop()
        if done:
            order.append(function)
        elif function not in seen:
            seen.add(function)
            stack.append((function, True))
            stack += [(each, False) for each in _inputs(function)]
    return order


def _node(function: Any, inputs: list[Node], names: Mapping[int, str]) -> Node:
    variable = getattr(function, "variable", None)
    kind = function.name().rpartition("::")[2]
    depth = 1 + max((each.depth for each in inputs), default=0)
    if isinstance(variable, Tensor):
        name = names.get(id(variable), "a tensor that is no parameter")
        return Node(kind, tuple(variable.shape), name, [])
    metadata = getattr(function, "_input_metadata", ())
    shape = tuple(metadata[0].shape) if metadata else None
    return Node(kind, shape, None, inputs, depth=depth)


def tree_lines(root: Node, most: int = 400) -> list[str]:
    """The graph as lines of text.

    A line that stands below another at the same depth is its input; so a chain of operations runs
    straight down. Where an operation has several inputs, the one with the longest way to a leaf
    goes on below, and the others hang off it as branches. A branch that leads straight to a leaf
    takes one line. An operation that several others use has a number, and stands where the last
    of them has it as an input; the others name it by its number.

    Args:
        root: As `gradient_graph` gives it.
        most: Lines; a last one says how many are left out.
    """
    lines = _Writer().lines_of(root)
    if len(lines) <= most:
        return lines
    return [*lines[:most], f"... and {len(lines) - most} more lines"]


class _Writer:
    """Writes a tree; what is still to be written waits on a stack, so that nothing recurses."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._met: dict[int, int] = {}

    def lines_of(self, root: Node) -> list[str]:
        """A node and all that it leads to."""
        lines: list[str] = []
        waiting: list[tuple[Node, str, str]] = [(root, "", "")]  # first and later indents
        while waiting:
            node, first, later = waiting.pop()
            chain = _chain_to_leaf(node) if first != later else []
            if chain:
                lines.append(first + " ← ".join(self._label(each) for each in chain))
                continue
            lines.append(first + self._label(node))
            if self._met[id(node)] < node.uses:
                continue
            branches = sorted(node.inputs, key=lambda n: (not _chain_to_leaf(n), n.depth))
            if branches and (len(branches) == 1 or not _chain_to_leaf(branches[-1])):
                waiting.append((branches.pop(), later, later))
            for branch in reversed(branches):
                waiting.append((branch, f"{later}├─ ", f"{later}│  "))
        return lines

    def _label(self, node: Node) -> str:
        met = self._met[id(node)] = self._met.get(id(node), 0) + 1
        shape = "" if node.shape is None else f" {node.shape}"
        if node.leaf is not None:
            return f"{node.kind}: {node.leaf}{shape}{', again' if met > 1 else ''}"
        if node.uses < 2:
            return f"{node.kind}{shape}"
        number = self._numbers.setdefault(id(node), len(self._numbers) + 1)
        below = ", see below" if met < node.uses else ""
        return f"#{number} {node.kind}{shape}{below}"


def _chain_to_leaf(node: Node) -> list[Node]:
    """A node and what follows it, if it leads to a leaf and nowhere else in at most 3 steps."""
    chain = [node]
    while len(chain) < 3 and len(chain[-1].inputs) == 1 and chain[-1].uses < 2:
        chain.append(chain[-1].inputs[0])
    return chain if chain[-1].leaf is not None else []
