"""Public functions say what they take and give; what one line describes whole may leave it at that."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "flaxmark"
MODULES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))
SHORT = 8  # lines
Function = ast.FunctionDef | ast.AsyncFunctionDef


def public_functions(tree: ast.AST, owner: str = "") -> Iterator[tuple[str, Function]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node, f"{owner}{node.name}.")
        elif isinstance(node, Function) and (not node.name.startswith("_") or node.name == "__init__"):
            yield owner + node.name, node


def is_described_by_its_line(function: Function) -> bool:
    """A helper of a few lines; not one that another project calls."""
    body = function.body[1:] or function.body
    return (body[-1].end_lineno or 0) - body[0].lineno < SHORT


def complaints(name: str, function: Function) -> Iterator[str]:
    text = ast.get_docstring(function) or ""
    if text.startswith("As `"):  # what it overrides
        return
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    names = [a.arg for a in arguments if a.arg not in ("self", "cls") and not a.arg.startswith("_")]
    is_property = any(isinstance(d, ast.Name) and d.id in ("property", "override") for d in function.decorator_list)
    for argument in names:
        if f"\n    {argument}: " not in text:
            yield f"{name}: {argument} is not described"
    gives = function.returns is not None and ast.unparse(function.returns) not in ("None", "NoReturn", "Iterator[None]")
    if gives and names and not is_property and "\nReturns:\n" not in text and "\nYields:\n" not in text:
        yield f"{name}: what it returns is not described"


@pytest.mark.parametrize("module", MODULES)
def test_public_functions_describe_arguments_and_results(module: str) -> None:
    tree, strict = ast.parse((ROOT / module).read_text()), module in ("__init__.py", "inference.py")
    functions = [(n, f) for n, f in public_functions(tree) if strict or not is_described_by_its_line(f)]
    assert [text for name, function in functions for text in complaints(name, function)] == []
