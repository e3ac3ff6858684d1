"""The command line and the package before anything runs: what is loaded, listed and said."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from askel.particles import InputError, MissingDependency, NumericalFailure, UnitSystem

import askel
from askel.__main__ import main
from askel.config import as_tables, load, override, parse, to_toml
from askel.sources import units_of
from askel.tables import Config, Units
from askel.units_text import unit_text

HEAVY = ("torch", "numba", "mpi4py", "ase", "e3nn", "h5py", "matplotlib", "pydantic", "rich", "scipy", "numpy")
JOB = Path(__file__).with_name("job.toml")


def loaded_by(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has after some code."""
    script = f"{code}\nimport sys, json\nprint('MODULES', json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    line = next(li for li in answer.stdout.splitlines() if li.startswith("MODULES"))
    return set(json.loads(line.removeprefix("MODULES")))


@pytest.mark.parametrize(
    "code",
    [
        "import askel; askel.__version__; dir(askel)",
        "from askel.__main__ import main\ntry: main(['--help'])\nexcept SystemExit: pass",
        "from askel.__main__ import main\ntry: main(['run', '--help'])\nexcept SystemExit: pass",
        "from askel.__main__ import main\ntry: main(['--version'])\nexcept SystemExit: pass",
    ],
)
def test_nothing_heavy_is_loaded_for_help(code: str) -> None:
    modules = loaded_by(code)
    assert "askel" in modules
    assert not modules & set(HEAVY)


def test_a_dry_run_of_the_configuration_loads_no_optional_package() -> None:
    modules = loaded_by(f"from askel.config import load\nload({str(JOB)!r})")
    assert "pydantic" in modules
    assert not modules & {"torch", "numba", "mpi4py", "ase", "e3nn", "h5py", "matplotlib"}


def test_the_lazy_names_of_the_package() -> None:
    assert askel.Particles.__name__ == "Particles"
    assert set(askel.__all__) <= set(dir(askel))
    assert askel.nbody.__name__ == "askel.nbody"
    with pytest.raises(AttributeError, match="no attribute 'nbodi'"):
        _ = askel.nbodi


def test_used_text_is_read_back_bit_for_bit() -> None:
    config = load(JOB, ["integrator.step=0.1234567890123456789", "run.t_end=1e300", 'particles.body.0.mass="1e-5"'])
    assert parse(tomllib.loads(to_toml(as_tables(config)))) == config


def test_toml_text_of_awkward_values() -> None:
    tables = {
        "a": {"text": 'quote " back \\ line \n tab \t ä', "flags": [True, False], "n": -3, "x": 5e-324, "e": 1e22}
    }
    assert tomllib.loads(to_toml(tables)) == tables


def test_overrides_leave_the_tables_alone() -> None:
    tables = {"run": {"t_end": 1.0}, "particles": {"body": [{"mass": 1.0}]}}
    changed = override(tables, ["run.t_end=2", "particles.body.0.mass=3.5", "integrator.kind=chain", "run.x='3 yr'"])
    assert changed == {
        "run": {"t_end": 2, "x": "3 yr"},
        "particles": {"body": [{"mass": 3.5}]},
        "integrator": {"kind": "chain"},
    }
    assert tables == {"run": {"t_end": 1.0}, "particles": {"body": [{"mass": 1.0}]}}


def test_the_job_is_frozen() -> None:
    config = load(JOB)
    with pytest.raises(Exception, match="frozen"):
        config.run.t_end = 3.0


def test_the_schema_describes_every_key(folder) -> None:
    schema = json.loads(folder.askel("schema").out)
    assert set(schema["properties"]) == set(Config.model_fields)
    for definition in schema["$defs"].values():
        assert definition.get("description")


@pytest.mark.parametrize(
    ("table", "light"),
    [
        (Units(system="nbody", speed_of_light=10.0), 10.0),
        (Units(system="nbody"), None),
        (Units(system="geometric", mass="1e6 Msun"), 1.0),
        (Units(length="1 pc", mass="1 Msun", time="1 yr"), 0.306601393788),  # parsecs a light year and the like
        (Units(system="galactic"), 299792.458),
    ],
)
def test_units_of_a_job(table: Units, light: float | None) -> None:
    units = units_of(table)
    assert units is not None
    if light is None:
        assert units.speed_of_light is None
    else:
        assert units.speed_of_light == pytest.approx(light, rel=1e-9)


@pytest.mark.parametrize(
    "table",
    [
        Units(system="nbody", time="1 yr"),
        Units(system="nbody", length="1 pc"),
        Units(system="nbody", length="1 pc", mass="1 Msun", speed_of_light=3.0),
        Units(system="geometric", length="1 pc"),
        Units(system="si", length="1 pc"),
        Units(system="si", speed_of_light=3.0),
        Units(length="1 pc"),
    ],
)
def test_units_that_do_not_fit_together(table: Units) -> None:
    with pytest.raises(InputError):
        units_of(table)


def test_names_of_units() -> None:
    year = UnitSystem("custom", 3.0856775814913674e16, 1.988409870698051e30, 31557600.0)
    assert (unit_text(year, "time"), unit_text(year, "length")) == ("yr", "pc")
    assert unit_text(UnitSystem("nbody"), "time", "[", "]") == ""
    assert unit_text(UnitSystem("custom", 1.5, 1.0, 1.0), "length") == ""


def test_check_reports_the_environment(folder) -> None:
    answer = folder.askel("check")
    assert answer.code == 0
    for what in ("numba", "kernels", "threads", "mpi", "cuda", "python"):
        assert any(line.startswith(what) for line in answer.out.splitlines()), what


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("two\nlines"), 2),
        (NumericalFailure("stuck", time=1.0), 3),
        (MissingDependency("torch", "ml"), 4),
        (PermissionError(13, "Permission denied", "run.h5md"), 2),
        (OSError(28, "No space left on device", "run.h5md"), 2),
        (MemoryError(), 2),
        (KeyboardInterrupt(), 130),
    ],
)
def test_errors_are_one_line_and_a_code(monkeypatch, capsys, error: BaseException, code: int) -> None:
    def fail(options: object) -> int:
        raise error

    monkeypatch.setattr("askel.commands.check", fail)
    assert main(["check"]) == code
    heard = capsys.readouterr().err
    assert heard.startswith("askel: ") and heard.count("\n") == 1


def test_a_mistake_of_ours_is_not_hidden(monkeypatch) -> None:
    def fail(options: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr("askel.commands.check", fail)
    with pytest.raises(ZeroDivisionError):
        main(["check"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rnu"], "did you mean 'run'?"),
        (["schema", "jbo"], "did you mean 'job'?"),
        (["run", "job.toml", "--overwrit3"], "unrecognized arguments: --overwrit3; see askel --help"),
        (["run"], "the following arguments are required: job; see askel run --help"),
    ],
)
def test_a_wrong_command_line_is_one_line(capsys, words: list[str], said: str) -> None:
    from askel.cli import parser

    with pytest.raises(SystemExit, match="2"):
        parser().parse_args(words)
    written = capsys.readouterr()
    assert written.out == "" and written.err.count("\n") == 1 and written.err.endswith(f"{said}\n")
