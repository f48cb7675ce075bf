"""Draws a graph in rows: a node stands below everything that it was made from.

The page shows its graph without JavaScript and without other files, so that Mermaid and dagre do not serve. The layered
layouts of Python libraries do not either: those of igraph and grandalf are under the GPL, fast-sugiyama needs glibc
2.34, Graphviz is a program of the operating system, and NetworkX does not order the nodes of a row.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from itertools import accumulate, pairwise
from statistics import fmean

from lineage.graph import RESOLVER, Graph, Link

MAX_NODES = 250  # of a drawn graph; a larger one is unreadable
WIDTH, HEIGHT = 156, 46  # of a node, in pixels
BEND = 16  # width of an edge in a row that it passes
GAP, ROW_GAP = 22, 44
SWEEPS = 12


@dataclass(eq=False)
class Cell:
    """A node, or a place where an edge passes a row: its width, its middle, and its neighbours in the next rows."""

    width: float
    x: float = 0.0
    y: float = 0.0
    above: list[Cell] = field(default_factory=list)
    below: list[Cell] = field(default_factory=list)


@dataclass(frozen=True)
class Drawing:
    """A graph with the places of its nodes and links, in pixels.

    Attributes:
        graph: with no other nodes than the drawn ones.
        focus: key of the node that is chosen at the start; empty for none.
        run: id of the run that the graph is of; None for another graph.
        cells: the places of the nodes, by key.
        curves: the drawn links, and the path of each in SVG.
        width: of the drawing.
        height: of the drawing.
    """

    graph: Graph
    focus: str
    run: int | None
    cells: dict[str, Cell]
    curves: dict[Link, str]
    width: float
    height: float


def draw(graph: Graph, focus: str = "", run: int | None = None) -> Drawing:
    """Places nodes without overlaps, and with few crossings of links; see `Drawing` for the arguments.

    An artifact that a resolver hands on hangs below the execution that made it, where the graph has that.
    """
    handed_on = {link for link in graph.links if link.made and graph.executions[link.execution].type == RESOLVER}
    made = {link.artifact for link in graph.links - handed_on if link.made}
    links = sorted(link for link in graph.links if link not in handed_on or link.artifact not in made)
    row_of = _rows(graph.nodes, links)
    rows: list[list[Cell]] = [[] for _ in range(max(row_of.values(), default=-1) + 1)]
    nodes = {key: Cell(WIDTH) for key in graph.nodes}
    for key, cell in nodes.items():
        rows[row_of[key]].append(cell)
    chains = {}
    for link in links:
        bends = {number: Cell(BEND) for number in range(row_of[link.start] + 1, row_of[link.end])}
        for number, bend in bends.items():
            rows[number].append(bend)
        chains[link] = [nodes[link.start], *bends.values(), nodes[link.end]]
        for upper, lower in pairwise(chains[link]):
            upper.below.append(lower)
            lower.above.append(upper)
    _spread(rows)
    cells = [cell for row in rows for cell in row]
    left = min((cell.x - cell.width / 2 for cell in cells), default=0.0)
    for number, row in enumerate(rows):
        for cell in row:
            cell.x, cell.y = round(cell.x - left, 1), number * (HEIGHT + ROW_GAP) + HEIGHT / 2
    width = max((cell.x + cell.width / 2 for cell in cells), default=0.0)
    height = max(0, len(rows) * (HEIGHT + ROW_GAP) - ROW_GAP)
    return Drawing(graph, focus, run, nodes, {link: _curve(chain) for link, chain in chains.items()}, width, height)


def nearest(graph: Graph, focus: str) -> Graph:
    """Returns the nodes of a graph that are nearest to the node with a key, `MAX_NODES` at most."""
    if len(graph.nodes) <= MAX_NODES:
        return graph
    near, queue = {focus}, deque([focus])
    while queue:
        key = queue.popleft()
        for other in (*(link.start for link in graph.before(key)), *(link.end for link in graph.after(key))):
            if other not in near and len(near) < MAX_NODES:
                near.add(other)
                queue.append(other)
    return Graph(
        {id_: artifact for id_, artifact in graph.artifacts.items() if artifact.key in near},
        {id_: execution for id_, execution in graph.executions.items() if execution.key in near},
        frozenset(link for link in graph.links if link.start in near and link.end in near),
    )


def _rows(keys: Iterable[str], links: list[Link]) -> dict[str, int]:
    """Returns the row of each node: one below its lowest predecessor; a source stands just above its first use."""
    before: dict[str, set[str]] = {key: set() for key in keys}
    after = defaultdict(set)
    for link in links:
        before[link.end].add(link.start)
        after[link.start].add(link.end)
    rows: dict[str, int] = {}
    for key in _in_order(before):
        rows[key] = 1 + max((rows[other] for other in before[key]), default=-1)
    for key, others in after.items():
        if not before[key]:
            rows[key] = max(0, min(rows[other] for other in others) - 1)
    return rows


def _in_order(before: dict[str, set[str]]) -> list[str]:
    """Returns the nodes in topological order; removes a link of each cycle, which only a damaged store has."""
    while True:
        try:
            return list(TopologicalSorter(before).static_order())
        except CycleError as error:
            start, end, *_ = error.args[1]
            before[end].remove(start)


def _spread(rows: list[list[Cell]]) -> None:
    """Gives each cell its x, near its neighbours. The first sweeps also sort the cells of each row."""
    for sweep in range(6 * SWEEPS):
        is_upward = sweep % 2 == 1
        for row in reversed(rows) if is_upward else rows:
            if sweep < SWEEPS:
                pulls = {cell: _mean(cell.below if is_upward else cell.above, cell.x) for cell in row}
                row.sort(key=pulls.__getitem__)
            _settle(row)


def _settle(row: list[Cell]) -> None:
    """Moves the cells of a row towards their neighbours, as far as their widths and their order allow."""
    starts = accumulate((cell.width + GAP for cell in row), initial=0.0)
    packed = [start + cell.width / 2 for start, cell in zip(starts, row, strict=False)]
    shifts: list[float] = []
    for cell, place in zip(row, packed, strict=True):
        # A cell without neighbours stays beside the one before it, or the rest would drift away from it.
        beside = place + shifts[-1] if shifts else cell.x
        shifts.append(_mean(cell.above + cell.below, beside) - place)
    right = accumulate(shifts, max)
    left = reversed(list(accumulate(reversed(shifts), min)))
    for cell, place, most, least in zip(row, packed, right, left, strict=True):
        cell.x = place + (most + least) / 2


def _mean(cells: list[Cell], default: float) -> float:
    return fmean(cell.x for cell in cells) if cells else default


def _curve(chain: list[Cell]) -> str:
    """Returns the path of a link, from the lower side of a node to just above the next, with room for the arrow."""
    upper, *bends, lower = ((cell.x, cell.y) for cell in chain)
    points = [(upper[0], upper[1] + HEIGHT / 2), *bends, (lower[0], lower[1] - HEIGHT / 2 - 2)]
    path = "M{} {}".format(*points[0])
    for (x, y), (next_x, next_y) in pairwise(points):
        middle = (y + next_y) / 2
        path += f"C{x} {middle} {next_x} {middle} {next_x} {next_y}"
    return path
