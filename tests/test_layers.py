"""The architecture as a test: what may import what, where heavy packages live, and how long things may be."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

#: folder -> folders of the package it may import (itself always)
FLOORS = {
    "particles": set(),
    "integrators": {"particles"},
    "nbody": {"integrators", "particles"},
    "equivariant": {"particles"},
    "mpi": {"particles"},
    "md": {"equivariant", "nbody", "integrators", "particles"},
    "examples": {"particles", "integrators", "nbody", "equivariant", "md"},
    "askel": {"particles", "integrators", "nbody", "equivariant", "mpi", "md", "examples"},
}

#: heavy package -> where it may be imported (patterns of paths); nowhere else, not even inside functions
HOMES = {
    "torch": ("equivariant/*", "md/energy_model.py", "md/training/*"),
    "e3nn": ("equivariant/*",),
    "vesin": ("equivariant/graph.py",),
    "safetensors": ("equivariant/model_file.py",),
    "numba": (
        "*/_kernels/*",
        "particles/kernels.py",
        "askel/environment.py",
    ),  # to point its cache, and to report on it
    "mpi4py": ("mpi/world.py",),
    "h5py": ("particles/io_*.py",),
    "pyarrow": ("particles/io_ensemble.py",),
    "ase": ("particles/io_ase.py", "md/ase_*.py", "md/judging/ase_bonds.py"),
}
#: parts of a heavy package with a home of their own
NARROW_HOMES = {"numba.cuda": ("*/_kernels/*_cuda.py", "askel/environment.py")}

LONGEST_FILE, LONGEST_FUNCTION = 400, 80
LONGEST_KERNEL_FILE = 460


class Source:
    """One file of the package, parsed."""

    def __init__(self, path: Path) -> None:
        self.path = path.relative_to(ROOT)
        self.folder = self.path.parts[0]
        self.text = path.read_text(encoding="utf-8")
        self.tree = ast.parse(self.text)
        inside = self.path.parts if self.folder != "askel" else self.path.parts[1:]
        parts = ("askel", *inside[:-1], inside[-1].removesuffix(".py"))
        self.is_package = parts[-1] == "__init__"
        self.module = ".".join(parts[:-1] if self.is_package else parts)
        self.package = self.module if self.is_package else self.module.rpartition(".")[0]

    @property
    def is_kernel(self) -> bool:
        return "_kernels" in self.path.parts

    def imports(self, *, at_import: bool = False) -> Iterator[tuple[str, ast.stmt]]:
        """Yield (absolute module, statement); ``from a import b`` gives a.b. Type checking is left out."""
        for statement in _statements(self.tree, at_import=at_import):
            if isinstance(statement, ast.Import):
                yield from ((alias.name, statement) for alias in statement.names)
            elif isinstance(statement, ast.ImportFrom):
                base = statement.module or ""
                if statement.level:
                    above = self.package.split(".")
                    above = above[: len(above) - statement.level + 1]
                    base = ".".join([*above, base] if base else above)
                yield from ((f"{base}.{alias.name}", statement) for alias in statement.names)


def _statements(node: ast.AST, *, at_import: bool) -> Iterator[ast.stmt]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if at_import and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.stmt):
            yield child
        yield from _statements(child, at_import=at_import)


SOURCES = [Source(path) for folder in FLOORS for path in sorted((ROOT / folder).rglob("*.py"))]
MODULES = {source.module for source in SOURCES}
every_source = pytest.mark.parametrize("source", SOURCES, ids=[str(s.path) for s in SOURCES])


def _floor(module: str) -> str:
    second = module.split(".")[1] if "." in module else "askel"
    return second if second in FLOORS else "askel"


def forbidden_imports(source: Source) -> list[str]:
    """Return what a file imports from floors above or beside it."""
    allowed = FLOORS[source.folder] | {source.folder}
    return [m for m, _ in source.imports() if m.split(".")[0] == "askel" and _floor(m) not in allowed]


def test_the_files_were_found():
    assert {s.folder for s in SOURCES} == set(FLOORS)
    assert {"askel", "askel.particles", "askel.nbody._kernels.direct_cpu", "askel.integrators.propagator"} <= MODULES
    assert len(SOURCES) > 40


@every_source
def test_imports_point_down(source):
    assert forbidden_imports(source) == []


def test_a_sibling_import_would_be_seen(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    file = tmp_path / "nbody" / "wrong.py"
    file.parent.mkdir()
    file.write_text("def f():\n    from ..mpi.world import World\n    from .. import __version__\n")
    wrong = Source(file)
    assert forbidden_imports(wrong) == ["askel.mpi.world.World", "askel.__version__"]


def test_only_building_names_the_ranks():
    users = {
        s.path.as_posix()
        for s in SOURCES
        if s.folder != "mpi"
        for m, _ in s.imports()
        if f"{m}.".startswith("askel.mpi.")
    }
    assert users <= {"askel/build.py", "askel/parallel.py"}


@every_source
def test_imports_inside_the_package_are_relative(source):
    own = set(FLOORS)
    wrong = [
        m
        for m, statement in source.imports()
        if (isinstance(statement, ast.Import) or not statement.level) and m.split(".")[0] in own
    ]
    assert wrong == []


@every_source
def test_heavy_packages_stay_at_home(source):
    for module, _ in source.imports():
        for heavy, homes in {**HOMES, **NARROW_HOMES}.items():
            if module == heavy or module.startswith(heavy + "."):
                assert any(source.path.match(home) for home in homes), f"{module} is imported outside {homes}"


@every_source
def test_particles_import_numpy_alone(source):
    if source.folder == "particles" and not source.path.name.startswith("io_") and not source.is_kernel:
        outside = {m.split(".")[0] for m, s in source.imports(at_import=True) if m.split(".")[0] != "askel"}
        assert outside & {*HOMES, "scipy", "matplotlib", "pydantic", "rich", "typer"} == set()


def import_graph() -> dict[str, set[str]]:
    """Return module -> modules of the package that importing it imports directly."""
    graph: dict[str, set[str]] = {source.module: set() for source in SOURCES}
    for source in SOURCES:
        for target, _ in source.imports(at_import=True):
            parts = target.split(".")
            for k in range(1, len(parts) + 1):
                name = ".".join(parts[:k])
                # a module's own packages are being imported already, and are no dependence
                if name in graph and name != source.module and not f"{source.module}.".startswith(f"{name}."):
                    graph[source.module].add(name)
    return graph


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the modules that reach themselves, grouped by what they share."""
    reach = {module: set(targets) for module, targets in graph.items()}
    for middle in graph:
        for targets in reach.values():
            if middle in targets:
                targets |= reach[middle]
    looped = {m for m in graph if m in reach[m]}
    return [sorted(x for x in looped if x in reach[m]) for m in sorted(looped)]


def test_no_import_cycles():
    graph = import_graph()
    assert sum(map(len, graph.values())) > 50
    assert cycles(graph) == []


def test_a_cycle_would_be_seen():
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c"], ["b", "c"]]


@every_source
def test_files_are_short(source):
    limit = LONGEST_KERNEL_FILE if source.is_kernel else LONGEST_FILE
    assert source.text.count("\n") <= limit


@every_source
def test_functions_are_short(source):
    if source.is_kernel:
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[1] if ast.get_docstring(node) is not None and len(node.body) > 1 else node.body[0]
            length = (node.end_lineno or 0) - first.lineno + 1
            assert length <= LONGEST_FUNCTION, f"{node.name} has {length} lines"


@every_source
def test_public_things_have_docstrings(source):
    if source.is_kernel:
        assert ast.get_docstring(source.tree)
        return
    assert list(_undocumented(source.tree, source.module)) == []


def _undocumented(node: ast.AST, name: str) -> Iterator[str]:
    if not ast.get_docstring(node):  # type: ignore[arg-type]
        yield name
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef) and not child.name.startswith("_"):
            if isinstance(child, ast.ClassDef):
                yield from _undocumented(child, f"{name}.{child.name}")
            elif not ast.get_docstring(child):
                yield f"{name}.{child.name}"
