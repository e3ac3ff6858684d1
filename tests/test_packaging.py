"""What is installed, what importing loads, and that every part imports alone."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS = PROJECT["tool"]["setuptools"]

HEAVY = ("torch", "numba", "mpi4py", "ase", "e3nn", "h5py", "scipy", "matplotlib")
FOLDERS = ("askel", "particles", "integrators", "nbody", "equivariant", "md", "mpi", "examples")
#: packages that an installation may lack: modules that need them are then not imported
OPTIONAL = ("torch", "e3nn", "mpi4py", "MDAnalysis", "pynbody", "yt", "znh5md")


def installed_name(folder: Path) -> str:
    """Return the import name of a folder of the checkout."""
    return "askel" if folder.name == "askel" else "askel." + ".".join(folder.relative_to(ROOT).parts)


def package_folders() -> list[Path]:
    """Return every folder of the checkout that holds a part of the package."""
    return sorted({file.parent for name in FOLDERS for file in (ROOT / name).rglob("*.py")})


def modules() -> list[str]:
    """Return the import names of all modules."""
    names = []
    for folder in package_folders():
        for file in sorted(folder.glob("*.py")):
            names.append(installed_name(folder) + ("" if file.stem == "__init__" else f".{file.stem}"))
    return [n for n in names if not n.endswith("__main__")]


def python(code: str) -> list[str]:
    """Run code in a fresh interpreter, the working folder not on its path, and return the words it printed."""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_every_folder_is_a_listed_package():
    folders = package_folders()
    assert all((folder / "__init__.py").exists() for folder in folders)
    assert {installed_name(f) for f in folders} == set(SETUPTOOLS["packages"])
    assert SETUPTOOLS["package-dir"] == {installed_name(f): str(f.relative_to(ROOT)) for f in folders}


def test_no_other_folder_holds_code():
    known = {*FOLDERS, "tests", "benchmarks", "docs", "build", "dist"}
    others = {f.relative_to(ROOT).parts[0] for f in ROOT.glob("*/*.py")} - known
    assert {name for name in others if not name.startswith(".")} == set()


def test_data_files_are_packaged():
    patterns = SETUPTOOLS["package-data"]
    for folder in package_folders():
        for file in folder.iterdir():
            if file.is_file() and file.suffix not in (".py", ".pyc", ".nbi", ".nbc"):
                assert any(file.match(p) for p in patterns.get(installed_name(folder), ())), file


def test_version_is_said_once():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    version = PROJECT["project"]["version"]
    assert python("import askel; print(askel.__version__)") == [version]
    assert f"## {version}" in changelog
    assert f"version: {version}\n" in citation


@pytest.mark.parametrize("name", ["askel", "askel.particles"])
def test_importing_is_light(name):
    loaded = python(f"import sys, {name}; print(*sys.modules)")
    assert "numpy" in loaded or name == "askel"
    assert set(HEAVY) & set(loaded) == set()


def test_help_is_light():
    code = (
        "import sys, contextlib, io\nfrom askel.__main__ import main\nsys.argv = ['askel', '--help']\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n    main()\nprint(*sys.modules)"
    )
    assert set(HEAVY) & set(python(code)) == set()


@pytest.mark.parametrize("name", SETUPTOOLS["packages"])
def test_package_imports_alone(name):
    loaded = python(f"import sys, {name}; print(*sys.modules)")
    assert name in loaded


def test_everything_imports_and_nothing_twice():
    """Importing all modules must not load a second copy of a folder under its bare name."""
    code = (
        "import importlib, sys\n"
        f"for name in {modules()!r}:\n"
        "    try:\n        importlib.import_module(name)\n"
        "    except ImportError as error:\n"
        f"        root = (error.name or '').split('.')[0]\n        if root not in {OPTIONAL!r}: raise\n"
        "print(*sys.modules)"
    )
    loaded = python(code)
    assert "askel.nbody.direct" in loaded
    assert set(FOLDERS[1:]) & set(loaded) == set()


def test_constraints_pin_what_is_required():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {}
    for line in lines:
        if line and not line.startswith("#"):
            match = re.fullmatch(r"([A-Za-z0-9._-]+)==([0-9][A-Za-z0-9.]*)", line)
            assert match, line
            pins[_canonical(match.group(1))] = match.group(2)
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [r for group in (PROJECT["project"]["dependencies"], *extras.values()) for r in group]
    names = {_canonical(re.split(r"[\[<>=~! ;]", r)[0]) for r in wanted} - {"askel"}
    assert names - set(pins) == set()
    assert pins["torch"] == "2.13.0"


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_a_checkout_works_from_its_own_folder():
    """Python puts the working directory first: the folder ``askel`` there must find its sisters without an installation."""
    code = "import sys; sys.path[:] = ['.', *(p for p in sys.path if p)]; sys.meta_path = [f for f in sys.meta_path "
    code += "if 'editable' not in repr(f)]; import askel; print(askel.Particles.__name__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "Particles\n", done.stderr
