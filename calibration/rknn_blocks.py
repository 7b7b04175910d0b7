"""The blocks of a network as rknn-toolkit2 has optimised it: what is chosen together, by our names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

# One node of the toolkit's graph: its type, name, inputs and outputs.
Node = tuple[str, str, Sequence[str], Sequence[str]]

_CONVERSION = "exDataConvert"
_INDEXED = re.compile(r"\.\d+$")
_MODULE_DEPTH = 2
_POSE_HEAD = "head"


@dataclass(frozen=True, slots=True)
class Block:
    """The nodes of one module, by the tensors that they put out. is_head: it stays in half precision."""

    tensors: tuple[str, ...]
    kind: str
    is_head: bool


def blocks(nodes: Sequence[Node], tensors: Collection[str], outputs: Collection[str]) -> dict[str, Block]:
    """Sort the nodes of the optimised graph into the network's modules, in the order of execution.

    nodes, tensors: those of the toolkit's first step. outputs: the network's. The optimiser keeps a module's
    path at the beginning of the names that it makes ("/backbone/stage1/stage1.1/main_conv/conv/Conv_tile0");
    a node without one belongs to what it reads. A module is a path up to its first index, or of two parts.
    Heads are all of a pose head, and what else puts out a result.
    """
    made: dict[str, list[Node]] = {}
    block_of: dict[str, str] = {}
    heads: set[str] = set()
    for node in nodes:
        kind, name, inputs, results = node
        source = block_of.get(inputs[0], "") if inputs else ""
        block = _module(name) or source or name
        block_of.update(dict.fromkeys(results, block))
        if kind == _CONVERSION:
            # It reads a result before it becomes a float.
            heads.update({source} if _puts_out(results, outputs) else ())
            continue
        made.setdefault(block, []).append(node)
        if _puts_out(results, outputs) or block.partition("/")[0] == _POSE_HEAD:
            heads.add(block)
    found = {}
    for block, members in made.items():
        # The toolkit takes one tensor for a node.
        chosen = tuple(node[3][0] for node in members if node[3] and node[3][0] in tensors)
        if chosen:
            found[block] = Block(chosen, _kind(members), block in heads)
    return found


def _puts_out(results: Sequence[str], outputs: Collection[str]) -> bool:
    """Tell whether a node puts out a result of the network."""
    return any(result in outputs for result in results)


def _module(name: str) -> str:
    if not name.startswith("/"):
        return ""
    parts = name.strip("/").split("/")[:-1]
    for index, part in enumerate(parts):
        if _INDEXED.search(part):
            return "/".join(parts[: index + 1])
    return "/".join(parts[:_MODULE_DEPTH])


def _kind(members: Sequence[Node]) -> str:
    """Name what a block mostly is, such as "Conv x7"."""
    counts = Counter(kind for kind, *_ in members)
    kind = "Conv" if counts["Conv"] else counts.most_common(1)[0][0]
    return f"{kind} x{counts[kind]}"
