"""The house: which room may import which, how large rooms and parameter lists are, names.

All of it is read from the sources; nothing is imported.
"""

import ast
import graphlib
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOPS = ("distortions", "fr_metrics", "mlsp", "mtl", "scripts")

Statement = ast.Import | ast.ImportFrom
Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

# Modules of a package at most. In the others a row of the paper's tables, or a command, is one.
LARGEST_ROOM = 13
ONE_MODULE_PER_ROW = ("distortions", "fr_metrics", "mtl.network", "deepfl.commands")

MOST_PARAMETERS = 8

# Names that say nothing of what is in a module.
EMPTY_WORDS = {"common", "helpers", "misc", "utils"}

# What a package and all in it may not import, and what is excepted from that.
FLOORS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "distortions": (("deepfl", "fr_metrics", "mlsp", "mtl", "scripts"), ()),
    "fr_metrics": (("deepfl", "distortions", "mlsp", "mtl", "scripts"), ()),
    "mtl": (("deepfl", "mlsp", "scripts"), ()),
    "mlsp": (("deepfl", "scripts"), ()),
    "deepfl": (("scripts",), ()),
    "mtl.runtime": (("distortions", "fr_metrics", "mtl"), ("mtl.runtime",)),
    "mtl.ratings": (("mtl.network",), ()),
}
# What a package's own modules may not import; those of its sub-packages may.
OWN_FLOORS = {"mtl.training": ("mtl.training.multitask", "mtl.training.opinions")}


def name_of(file: Path) -> str:
    name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    return name.removeprefix("scripts.") if name.startswith("scripts.deepfl") else name


FILES = {name_of(file): file for top in TOPS for file in sorted((ROOT / top).rglob("*.py"))}
TREES = {name: ast.parse(file.read_text()) for name, file in FILES.items()}
PACKAGES = [name for name, file in FILES.items() if file.name == "__init__.py"]
# scripts/ is a folder of programs, and nobody's package.
ROOMS = [*PACKAGES, "scripts"]


def is_for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def run_at_import(nodes: Iterable[ast.AST]) -> Iterator[Statement]:
    """Yield the import statements outside functions and outside `if TYPE_CHECKING`."""
    for node in nodes:
        if isinstance(node, Statement):
            yield node
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.expr):
            continue
        elif is_for_types_only(node):
            yield from run_at_import(node.orelse)
        else:
            yield from run_at_import(ast.iter_child_nodes(node))


def run_at_all(nodes: Iterable[ast.AST]) -> Iterator[Statement]:
    """Yield the import statements outside `if TYPE_CHECKING`, those in functions included."""
    for node in nodes:
        if isinstance(node, Statement):
            yield node
        elif is_for_types_only(node):
            yield from run_at_all(node.orelse)
        else:
            yield from run_at_all(ast.iter_child_nodes(node))


def ancestors(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts) + 1)]


def imported(
    module: str, statements: Iterable[Statement], modules: Iterable[str], *, parents: bool
) -> set[str]:
    """Return the modules of ours that statements name, `module` and its own packages aside.

    With parents also the packages of what is named, which run before it.
    """
    found: set[str] = set()
    for statement in statements:
        if isinstance(statement, ast.Import):
            names = [alias.name for alias in statement.names]
        else:
            assert statement.level == 0, f"{module}: relative imports are not followed here"
            source = statement.module or ""
            names = [f"{source}.{alias.name}" for alias in statement.names]
            # A name that is no module is the package's own.
            names = [name if name in modules else source for name in names]
        for name in names:
            found.update(ancestors(name) if parents else [name])
    return found & set(modules) - set(ancestors(module))


def room_of(module: str, packages: Iterable[str]) -> str:
    """Return the package that a module is in; a package is in itself."""
    return next(name for name in reversed(ancestors(module)) if name in packages)


def uses_of(module: str) -> set[str]:
    """Return what a module imports at any time, as modules."""
    return imported(module, run_at_all(TREES[module].body), FILES, parents=False)


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def parameters(function: Function) -> list[str]:
    """Return the names of a function's parameters, but for a method's own object."""
    given = function.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    return [each.arg for each in every if each is not None and each.arg not in ("self", "cls")]


def test_no_module_imports_itself_through_others():
    """Every module can be the first that is imported."""
    assert len(FILES) > 100
    graph = {
        name: imported(name, run_at_import(tree.body), FILES, parents=True)
        for name, tree in TREES.items()
    }
    # A package's own file may import its modules, which are in it without importing it.
    assert tuple(graphlib.TopologicalSorter(graph).static_order())


def test_a_circle_through_a_package_is_found():
    texts = {
        "p": "",
        "p.a": "from p.sub.names import b",
        "p.sub": "from p.sub import plan",
        "p.sub.names": "",
        "p.sub.plan": "import p.a",
    }
    graph = {
        name: imported(name, run_at_import(ast.parse(text).body), texts, parents=True)
        for name, text in texts.items()
    }
    assert graph["p.a"] == {"p.sub", "p.sub.names"} and graph["p.sub"] == {"p.sub.plan"}
    with pytest.raises(graphlib.CycleError) as error:
        graphlib.TopologicalSorter(graph).prepare()
    assert {"p.a", "p.sub", "p.sub.plan"} == set(error.value.args[1])


def test_rooms_import_each_other_one_way():
    """No room imports itself through others: a sub-package is a room of its own."""
    graph: dict[str, set[str]] = {room: set() for room in ROOMS}
    because: dict[tuple[str, str], list[str]] = {}
    for module in FILES:
        room = room_of(module, ROOMS)
        for used in uses_of(module):
            other = room_of(used, ROOMS)
            if other != room:
                graph[room].add(other)
                because.setdefault((room, other), []).append(f"{module} imports {used}")
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        # The sorter names each room before those that import it.
        edges = zip(error.args[1][1:], error.args[1], strict=False)
        pytest.fail("\n".join(line for edge in edges for line in because[edge]))


@pytest.mark.parametrize("package", FLOORS)
def test_no_room_imports_one_above_it(package):
    above, excepted = FLOORS[package]
    modules = [module for module in FILES if within(module, package)]
    assert modules
    assert not [
        f"{module} imports {used}"
        for module in modules
        for used in uses_of(module)
        if any(within(used, each) for each in above)
        and not any(within(used, each) for each in excepted)
    ]


@pytest.mark.parametrize("package", OWN_FLOORS)
def test_an_engine_does_not_import_what_it_drives(package):
    modules = [module for module in FILES if room_of(module, ROOMS) == package]
    assert modules
    assert not [
        f"{module} imports {used}"
        for module in modules
        for used in uses_of(module)
        if any(within(used, each) for each in OWN_FLOORS[package])
    ]


@pytest.mark.parametrize("package", [p for p in PACKAGES if p not in ONE_MODULE_PER_ROW])
def test_a_room_is_not_too_large(package):
    folder = FILES[package].parent
    modules = [path.stem for path in folder.glob("*.py") if path.stem != "__init__"]
    assert len(modules) <= LARGEST_ROOM, sorted(modules)


def hidden_modules(package: str, tree: ast.Module, modules: Iterable[str]) -> list[str]:
    """Return the modules of a package whose names its own file gives to something else.

    Whichever came last would be found under the name: what the file says, or the module.
    """
    known: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            source = node.module or ""
            known |= {each.asname or each.name: f"{source}.{each.name}" for each in node.names}
        elif isinstance(node, ast.Import):
            known |= {each.asname: each.name for each in node.names if each.asname}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            known[node.name] = "a definition"
        else:
            stored = [each for each in ast.walk(node) if isinstance(each, ast.Name)]
            known |= {e.id: "a value" for e in stored if isinstance(e.ctx, ast.Store)}
    own = [name for name in modules if name.rpartition(".")[0] == package]
    return [name for name in own if known.get(name.rpartition(".")[2], name) != name]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_public_name_hides_a_module(package):
    """`import P.m` and `from P import m` both give the module."""
    assert not hidden_modules(package, TREES[package], FILES)


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("from p.m import m", ["p.m"]),
        ("from p.a import b as m", ["p.m"]),
        ("def m(): pass", ["p.m"]),
        ("m: int = 3", ["p.m"]),
        ("if True:\n    m = 3", ["p.m"]),
        ("from p.m import other\n__all__ = ['other']", []),
        ("from p import m\n__all__ = ['m']", []),
        ("import p.m", []),
    ],
)
def test_a_hidden_module_is_found(text, hidden):
    assert hidden_modules("p", ast.parse(text), ("p", "p.m", "p.q.m")) == hidden


@pytest.mark.parametrize("room", ROOMS)
def test_no_function_has_too_many_parameters(room):
    found = {
        f"{module}:{node.lineno}": len(parameters(node))
        for module in FILES
        if room_of(module, ROOMS) == room
        for node in ast.walk(TREES[module])
        if isinstance(node, Function)
    }
    assert not {place: number for place, number in found.items() if number > MOST_PARAMETERS}


def test_parameters_are_counted_of_every_function():
    (function,) = ast.parse("def f(self, a, /, b, *args, c=1, **more): pass").body
    assert parameters(function) == ["a", "b", "c", "args", "more"]


def test_every_package_is_installed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert sorted(project["tool"]["setuptools"]["packages"]) == sorted(PACKAGES)


def test_every_module_says_what_is_in_it():
    assert not [name for name in FILES if name.rpartition(".")[2].strip("_") in EMPTY_WORDS]
