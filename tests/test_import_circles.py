"""Every module can be the first that is imported: no module imports itself through others."""

import ast
import graphlib
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("distortions", "fr_metrics", "mlsp", "mtl", "scripts")


def name_of(file: Path) -> str:
    name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    return name.removeprefix("scripts.") if name.startswith("scripts.deepfl") else name


def run_at_import(nodes: Iterable[ast.AST]) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the import statements outside functions and outside `if TYPE_CHECKING`."""
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.expr):
            continue
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from run_at_import(node.orelse)
        else:
            yield from run_at_import(ast.iter_child_nodes(node))


def ancestors(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts) + 1)]


def imported(module: str, text: str, modules: Iterable[str]) -> set[str]:
    """Return the modules of ours that run when this one does, its own packages aside."""
    found: set[str] = set()
    for statement in run_at_import(ast.parse(text).body):
        if isinstance(statement, ast.Import):
            names = [alias.name for alias in statement.names]
        else:
            assert statement.level == 0, f"{module}: relative imports are not followed here"
            source = statement.module or ""
            names = [source, *(f"{source}.{alias.name}" for alias in statement.names)]
        found.update(each for name in names for each in ancestors(name))
    return found & set(modules) - set(ancestors(module))


def test_no_module_imports_itself_through_others():
    files = {name_of(f): f for package in PACKAGES for f in (ROOT / package).rglob("*.py")}
    assert len(files) > 100
    graph = {name: imported(name, file.read_text(), files) for name, file in files.items()}
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
    graph = {name: imported(name, text, texts) for name, text in texts.items()}
    assert graph["p.a"] == {"p.sub", "p.sub.names"} and graph["p.sub"] == {"p.sub.plan"}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        assert {"p.a", "p.sub", "p.sub.plan"} == set(error.args[1])
    else:
        raise AssertionError("the circle was not found")
