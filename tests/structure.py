"""Counts the structure of a checkout: `python -m tests.structure [CHECKOUT] [--list]`; `--list` names what was counted.

It reads the sources of the four rooms (service, workers, models, kernels) and imports none of them, so that older
commits can be counted too. The rules:

- A function's lines are those of its definition, docstring included, decorators not. Its arguments are what a caller
  may pass: `self` and `cls` are none, `*args` and `**options` are one each.
- A circle is a set of modules each of which imports all others, over however many steps. Imports inside functions
  (late) and those for type checkers alone (typing) count here and for the direction; what is loaded when a module is
  imported is told by `reached`. Imports by a computed name (`import_module`) are not seen.
- A public name is a function, class, constant or type of a module, or a method or property of a class, without a
  leading underscore. It has a reader where it occurs anywhere in the rooms or the benchmarks besides its definitions:
  as a name, an attribute, an import, or a whole string. Not asked for are names that a framework reads: what a
  decorator registers (a route, a task, a validator), methods of classes with a base from outside the rooms, Protocols,
  and what pyproject.toml names as a command.
- A test of a module `a/b/name.py` is `test_name.py` or `test_name_*.py`, or the same after `test_b_`, anywhere below
  tests but in the folder of another room. `__init__` and `__main__` need none.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parent.parent
FLOORS = {"kernels": 0, "models": 1, "workers": 2, "service": 3}
FILE_LINES = 350
FUNCTION_LINES = 40
ARGUMENTS = 8

# Decorators that leave a name to be read by its own module's callers; any other hands it to a framework.
PLAIN_DECORATORS = frozenset(
    (
        *("property", "cached_property", "setter", "classmethod", "staticmethod", "abstractmethod"),
        *("overload", "override", "final", "cache", "lru_cache", "wraps"),
        *("contextmanager", "asynccontextmanager", "dataclass", "total_ordering"),
    )
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Import:
    """One name that a module imports; `late`: inside a function; `typing`: for type checkers alone."""

    name: str
    late: bool
    typing: bool


@dataclass(frozen=True)
class Module:
    """A source file; `name` is the dotted one, a package's is that of its folder."""

    path: Path
    name: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        return tuple(_imports(self, self.tree, late=False, typing=False))

    @property
    def room(self) -> str:
        return self.name.partition(".")[0]

    @property
    def package(self) -> str:
        return self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]


@dataclass(frozen=True)
class Checkout:
    """A working tree: the modules of the rooms by name, the benchmarks', the tests' files, and the commands' names."""

    root: Path
    modules: dict[str, Module]
    benchmarks: dict[str, Module]
    tests: frozenset[Path]
    commands: frozenset[str]


def read_checkout(root: Path) -> Checkout:
    """Read the sources below `root`; a room that is not there is empty."""
    modules = {module.name: module for room in FLOORS for module in _modules(root, room)}
    benchmarks = {module.name: module for module in _modules(root, "benchmarks")}
    tests = frozenset(path.relative_to(root / "tests") for path in (root / "tests").rglob("test_*.py"))
    lines = (root / "pyproject.toml").read_text().partition("[project.scripts]")[2].partition("\n[")[0].splitlines()
    commands = frozenset(line.rpartition(":")[2].strip('" ') for line in lines if "=" in line)
    return Checkout(root, modules, benchmarks, tests, commands)


def _modules(root: Path, folder: str) -> Iterator[Module]:
    for path in sorted((root / folder).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        yield Module(path.relative_to(root), name, path.read_text())


def _imports(module: Module, node: ast.AST, *, late: bool, typing: bool) -> Iterator[Import]:
    """Every module or name that is imported below `node`, as dotted names; `from a import b` is `a.b`."""
    if isinstance(node, ast.Import):
        yield from (Import(alias.name, late, typing) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        parts = module.package.split(".")
        base = ".".join([*parts[: len(parts) - node.level + 1], *filter(None, [node.module])])
        source = base if node.level else node.module
        yield from (Import(f"{source}.{alias.name}", late, typing) for alias in node.names)
    else:
        late = late or isinstance(node, Function | ast.Lambda)
        checked = node.body if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING") else []
        for child in ast.iter_child_nodes(node):
            yield from _imports(module, child, late=late, typing=typing or child in checked)


def imports_of(checkout: Checkout, module: Module, *, late: bool = True, typing: bool = True) -> set[str]:
    """Names of the rooms' modules that this one imports, and of others as they are written."""
    found: set[str] = set()
    for one in module.imports:
        if (one.late and not late) or (one.typing and not typing):
            continue
        name = one.name
        if name.partition(".")[0] in FLOORS:
            while name not in checkout.modules and "." in name:
                name = name.rpartition(".")[0]
        found.add(name)
    return found - {module.name}


def reached(checkout: Checkout, entrance: str, *, late: bool = False) -> dict[str, str]:
    """All that importing `entrance` loads, each with who imports it; with `late` also what its functions may load."""
    found, ahead = {entrance: ""}, [entrance]
    while ahead:
        name = ahead.pop()
        module = checkout.modules.get(name)
        parents = {name.rpartition(".")[0]} & set(checkout.modules)
        for other in parents | (imports_of(checkout, module, late=late, typing=False) if module else set()):
            if other not in found:
                found[other] = name
                ahead.append(other)
    return found


def long_files(checkout: Checkout) -> list[str]:
    lengths = ((module.path, len(module.text.splitlines())) for module in checkout.modules.values())
    return [f"{path}: {length}" for path, length in lengths if length > FILE_LINES]


def _functions(checkout: Checkout) -> Iterator[tuple[str, Function, bool]]:
    """(where, function, whether it is a method)."""
    for module in checkout.modules.values():
        methods = {child for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef) for child in node.body}
        for node in ast.walk(module.tree):
            if isinstance(node, Function):
                yield f"{module.path}:{node.lineno} {node.name}", node, node in methods


def long_functions(checkout: Checkout) -> list[str]:
    lengths = ((where, (node.end_lineno or 0) - node.lineno + 1) for where, node, _ in _functions(checkout))
    return [f"{where}: {length}" for where, length in lengths if length > FUNCTION_LINES]


def wide_functions(checkout: Checkout) -> list[str]:
    found = []
    for where, node, is_method in _functions(checkout):
        told = node.args
        count = len([*told.posonlyargs, *told.args, *told.kwonlyargs, *filter(None, (told.vararg, told.kwarg))])
        count -= is_method and "staticmethod" not in {_decorator(one) for one in node.decorator_list}
        if count > ARGUMENTS:
            found.append(f"{where}: {count}")
    return found


def circles(checkout: Checkout) -> list[str]:
    """Sets of modules that import one another."""
    graph = {name: imports_of(checkout, module) & set(checkout.modules) for name, module in checkout.modules.items()}
    seen = {name: _ahead(graph, name) for name in graph}
    groups = {frozenset(other for other in seen[name] if name in seen[other]) for name in graph if name in seen[name]}
    return sorted(", ".join(sorted(group)) for group in groups)


def _ahead(graph: dict[str, set[str]], start: str) -> set[str]:
    """All that can be come to from `start` in a step or more."""
    found: set[str] = set()
    ahead = [start]
    while ahead:
        new = graph[ahead.pop()] - found
        found |= new
        ahead += new
    return found


def upward_imports(checkout: Checkout) -> list[str]:
    return [
        f"{module.path} imports {name}"
        for module in checkout.modules.values()
        for name in sorted(imports_of(checkout, module))
        if FLOORS.get(name.partition(".")[0], 0) > FLOORS[module.room]
    ]


def unread_names(checkout: Checkout) -> list[str]:
    """Public names that occur nowhere but where they are defined."""
    occurrences: Counter[str] = Counter()
    for module in (*checkout.modules.values(), *checkout.benchmarks.values()):
        occurrences.update(_read(module.tree))
    classes = {
        node.name: node
        for module in checkout.modules.values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef)
    }
    return [
        f"{module.path}:{line} {name}"
        for module in checkout.modules.values()
        for name, line in _public(module.tree, classes)
        if not occurrences[name.rpartition(".")[2]] and name not in checkout.commands
    ]


def _read(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield node.attr
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _public(tree: ast.Module, classes: dict[str, ast.ClassDef]) -> Iterator[tuple[str, int]]:
    """(name, line) of what a module offers; a method's name is `Class.method`."""
    for node in tree.body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_") and _is_plain(node):
            yield node.name, node.lineno
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            names = (one for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store))
            yield from ((name.id, node.lineno) for name in names if not name.id.startswith("_"))
        if isinstance(node, ast.ClassDef):
            methods = (child for child in node.body if isinstance(child, Function) and _is_plain(child))
            for child in methods:
                if not child.name.startswith("_") and not _is_anothers(child.name, node, classes):
                    yield f"{node.name}.{child.name}", child.lineno


def _is_plain(node: Function | ast.ClassDef) -> bool:
    return all(_decorator(one) in PLAIN_DECORATORS for one in node.decorator_list)


def _decorator(node: ast.expr) -> str:
    """The last name of a decorator: `dataclass` of `@dataclasses.dataclass(frozen=True)`."""
    return ast.unparse(node.func if isinstance(node, ast.Call) else node).rpartition(".")[2]


def _is_anothers(method: str, owner: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> bool:
    """Whether a base from outside the rooms may ask for this method; of Python's own classes we know theirs."""
    for base in owner.bases:
        name = ast.unparse(base.value if isinstance(base, ast.Subscript) else base).rpartition(".")[2]
        if name in classes:
            if classes[name] is not owner and _is_anothers(method, classes[name], classes):
                return True
        elif hasattr(builtins, name):
            if hasattr(getattr(builtins, name), method):
                return True
        elif name != "Generic":
            return True
    return False


def untested_modules(checkout: Checkout) -> list[str]:
    return [
        str(module.path)
        for module in checkout.modules.values()
        if module.path.name not in ("__init__.py", "__main__.py") and not _has_test(module, checkout.tests)
    ]


def _has_test(module: Module, tests: frozenset[Path]) -> bool:
    *_, package, name = ("", *module.name.split("."))
    wanted = f"test_{name}", f"test_{package}_{name}"
    others = FLOORS.keys() - {module.room}
    stems = (path.stem for path in tests if path.parts[0] not in others)
    return any(stem == one or stem.startswith(f"{one}_") for stem in stems for one in wanted)


Measure = Callable[[Checkout], list[str]]

MEASURES: dict[str, Measure] = {
    f"files of more than {FILE_LINES} lines": long_files,
    f"functions of more than {FUNCTION_LINES} lines": long_functions,
    f"functions of more than {ARGUMENTS} arguments": wide_functions,
    "import circles": circles,
    "upward imports": upward_imports,
    "public names without a reader": unread_names,
    "modules without a test of their name": untested_modules,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.structure", description="Count the structure of a checkout.")
    parser.add_argument("checkout", nargs="?", type=Path, default=ROOT)
    parser.add_argument("--list", action="store_true", help="name what was counted")
    told = parser.parse_args()
    checkout = read_checkout(told.checkout)
    if not checkout.modules:
        parser.error(f"{told.checkout} holds none of {', '.join(FLOORS)}")
    print(f"{len(checkout.modules):5} modules")
    for title, measure in MEASURES.items():
        found = measure(checkout)
        print(f"{len(found):5} {title}")
        if told.list:
            print(*(f"        {one}" for one in found), sep="\n", end="\n" if found else "")
    return 0


if __name__ == "__main__":
    sys.exit(main())
