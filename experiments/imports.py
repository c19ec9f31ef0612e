"""Who imports whom: the drawing in docs/architecture.md, and the rules that it has to keep."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from pl_env.files import write_atomically
from pl_env.sources import BUILT_ON, FLOORS
from pl_env.systems import SYSTEMS

Graph = dict[str, set[str]]
"""From each module, or room, to those that it imports."""

HOUSE = Path(__file__).parents[1]
TOP = "train"
FACADES = {"pl_env", "baselines", "agents"}
"""Packages whose own names are those of the first system, too; they alone may import a room from outside."""


def module_graph() -> Graph:
    """All modules of the floors and the main job, imports inside functions included."""
    paths = [path for floor in FLOORS for path in (HOUSE / floor).rglob("*.py")] + [HOUSE / f"{TOP}.py"]
    trees = {_name(path): ast.parse(path.read_text()) for path in paths}
    return {
        module: {_module(name, trees) for name in _imported(tree) if _is_ours(name)} for module, tree in trees.items()
    }


def _name(path: Path) -> str:
    parts = path.relative_to(HOUSE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _is_ours(name: str) -> bool:
    return name.partition(".")[0] in FLOORS


def _module(name: str, modules: Mapping[str, object]) -> str:
    """The module of an imported name, which may be a class or a function in it."""
    while name not in modules:
        name = name.rpartition(".")[0]
    return name


def room_of(module: str) -> str:
    """A module's folder, such as "baselines.slide"; its floor where it is in no room."""
    floor, *rest = module.split(".")
    in_room = len(rest) > 1 or (rest and (HOUSE / floor / rest[0]).is_dir()) or (rest and rest[0] in SYSTEMS)
    return f"{floor}.{rest[0]}" if in_room else floor


def room_graph(modules: Graph) -> Graph:
    """Who imports whom, room by room."""
    rooms: Graph = {room_of(module): set() for module in sorted(modules)}
    for module, imported in modules.items():
        rooms[room_of(module)] |= {room_of(other) for other in imported} - {room_of(module)}
    return rooms


def circle(graph: Graph) -> list[str]:
    """Some modules each of which imports the next, and the last the first; none if there is no circle."""
    done: set[str] = set()

    def search(path: list[str]) -> list[str]:
        for other in sorted(graph[path[-1]] - done):
            if other in path:
                return path[path.index(other) :]
            if found := search([*path, other]):
                return found
        done.add(path[-1])
        return []

    return next((found for start in sorted(graph) if start not in done and (found := search([start]))), [])


def upward(modules: Graph) -> list[tuple[str, str]]:
    """Imports from a floor above."""
    height = {floor: n for n, floor in enumerate((*FLOORS, TOP))}
    return sorted(
        (module, other)
        for module, imported in modules.items()
        for other in imported
        if height[other.partition(".")[0]] > height[module.partition(".")[0]]
    )


def into_rooms(modules: Graph) -> list[tuple[str, str]]:
    """Imports of a system's room from outside of its rooms and those built on it, but for the facades' own."""
    return sorted(
        (module, other)
        for module, imported in modules.items()
        for other in imported
        if (system := _system(other)) is not None
        and system not in (_system(module), BUILT_ON.get(room_of(module).partition(".")[2]))
        and module not in FACADES
    )


def _system(module: str) -> str | None:
    """The system in whose room a module stands; of a room that is no system's, the one that it builds on."""
    room = room_of(module).partition(".")[2]
    return room if room in SYSTEMS else BUILT_ON.get(room)


def mermaid(rooms: Graph) -> str:
    """The rooms as a Mermaid flowchart, floor by floor; an arrow points at what is imported."""
    lines = ["```mermaid", "flowchart BT"]
    for floor in FLOORS:
        lines.append(f"  subgraph {floor}_floor[{floor}]")
        here = [room for room in rooms if room.partition(".")[0] == floor]
        lines += [f"    {_node(room)}[{room.partition('.')[2] or 'shared'}]" for room in here]
        lines.append("  end")
    lines.append(f"  {TOP}[{TOP}.py]")
    lines += [f"  {_node(room)} --> {_node(other)}" for room in rooms for other in sorted(rooms[room])]
    return "\n".join([*lines, "```"])


def _node(room: str) -> str:
    return room.replace(".", "_") if "." in room or room == TOP else f"{room}_shared"


DOCUMENT = HOUSE / "docs" / "architecture.md"
START, END = "<!-- drawing -->", "<!-- end of drawing -->"


def main() -> None:
    """Put the drawing into its place in the document: ``python -m experiments.imports``."""
    before, _, rest = DOCUMENT.read_text().partition(START)
    _, _, after = rest.partition(END)
    drawing = mermaid(room_graph(module_graph()))
    write_atomically(DOCUMENT, f"{before}{START}\n{drawing}\n{END}{after}".encode())
    print(f"written: {DOCUMENT}")


if __name__ == "__main__":
    main()
