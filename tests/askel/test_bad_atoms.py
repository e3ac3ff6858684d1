"""Every mistake of a user with atoms, models and recipes: one line, exit code 2, nothing written."""

from __future__ import annotations

import os
import pickle
import re
import struct
from pathlib import Path

import pytest
import tiny_model as tiny

FORCES = '[forces]\nreference = "copper-emt"\n'

#: what is wrong -> (text in the job, what it becomes, words that the line must hold)
MISTAKES = {
    "wrong stride": ("[thermostat]", 'step = "5 fs"\n[thermostat]', "step = 5 fs.*trained for 4, 8 fs"),
    "no velocities": ("temperature = 300.0\n[integrator]", "[integrator]", "velocities are zero.*temperature"),
    "no model": ('model = "tiny.safetensors"', "", "integrator.model is missing"),
    "no such model": ('"tiny.safetensors"', '"tony.safetensors"', "no model 'tony.safetensors'"),
    "tolerance of a stride": ("[thermostat]", "tolerance = 1e-3\n[thermostat]", r"\[error_control\]"),
    "unknown option of a stride": ("[thermostat]", 'precison = "float64"\n[thermostat]', "did you mean 'precision'"),
    "unknown precision": ("[thermostat]", 'precision = "float16"\n[thermostat]', "dtype is 'float16'.*float32"),
    "unknown backend": ("[thermostat]", 'backend = "gpu"\n[thermostat]', "backend is 'gpu'.*'cpu', 'reference', 'cuda'"),
    "a model for leapfrog": ('"stride"', '"leapfrog"', "integrator.model.*kind = 'stride'"),
    "units of galaxies": ('"ase"', '"galactic"', "needs.*'ase'"),
    "gravity beside a stride": ("[thermostat]", '[gravity]\nkind = "fmm"\n[thermostat]', "gravity.*knows no gravity"),
    "mergers beside a stride": ("[thermostat]", "[mergers]\n[thermostat]", "mergers.*knows no gravity"),
    "unknown thermostat": ('"langevin"', '"berendsen"', "no such thermostat.*langevin"),
    "thermostat without temperature": ('"langevin"\ntemperature = 300.0', '"langevin"', "temperature is missing"),
    "cold text": ("temperature = 300.0\n[run]", 'temperature = "warm"\n[run]', "thermostat.temperature.*kelvin"),
    "negative temperature": ("temperature = 300.0\n[run]", "temperature = -3.0\n[run]", "kelvin"),
    "negative time constant": ("[run]", 'time = "-5 fs"\n[run]', "time constant is -.*positive"),
    "option of another thermostat": ("[run]", "length = 3\n[run]", "thermostat.length.*langevin"),
    "unknown key of a thermostat": ("[run]", "friction = 3\n[run]", "thermostat.friction"),
    "no whole stride": ('"400 fs"', '"1 fs"', "less than half a stride"),
    "barostat without forces": ("[run]", "[barostat]\ncompressibility = 1e-6\n[run]", "barostat.*stress.*forces"),
    "barostat without speed": ("[run]", "[barostat]\n[run]", "barostat.compressibility is missing"),
    "error control without limits": (
        "[run]", '[error_control]\nestimators = ["range"]\n[run]', "'range' needs limits",
    ),
    "unknown estimator": ("[run]", '[error_control]\nestimators = ["rnage"]\n[run]', "no estimator 'rnage'.*range"),
    "energy without forces": ("[run]", '[error_control]\nestimators = ["energy"]\n[run]', r"needs \[forces\]"),
    "unknown fallback": ("[run]", '[error_control]\nfallback = "copper"\n[run]', "no reference 'copper'.*copper-emt"),
    "a path as a fallback": ("[run]", '[error_control]\nfallback = "ase.calculators.emt:EMT"\n[run]', "no reference"),
    "fallback without forces": ("[run]", '[error_control]\nfallback = "forces"\n[run]', r"no \[forces\]"),
    "ensemble of none": ("[run]", '[error_control]\nestimators = ["ensemble"]\n[run]', "needs other models"),
    "empty forces": ("[run]", "[forces]\n[run]", "neither of reference and model"),
    "two forces": ("[run]", '[forces]\nreference = "copper-emt"\nmodel = "x"\n[run]', "both of reference and model"),
    "unknown forces": ("[run]", '[forces]\nreference = "copper-eam"\n[run]', "no reference 'copper-eam'"),
    "a stride as forces": ("[run]", '[forces]\nmodel = "tiny.safetensors"\n[run]', "head 'stride'"),
    "chain with forces": (
        'kind = "stride"\nmodel = "tiny.safetensors"', f'kind = "chain"\n{FORCES}', "chain.*brings its own forces",
    ),
    "error control of leapfrog": (
        'kind = "stride"\nmodel = "tiny.safetensors"', f'kind = "leapfrog"\nstep = 1.0\n{FORCES}[error_control]', "for strides",
    ),
    "thermostat of a method without steps": (
        'kind = "stride"\nmodel = "tiny.safetensors"', f'kind = "radau15"\n{FORCES}', "fixed steps",
    ),
}  # fmt: skip


@pytest.fixture
def atoms(folder):
    tiny.tiny_model(folder.path / "tiny.safetensors")
    tiny.copper_file(folder.path / "copper.xyz")
    return folder


def refused(folder, words: str, *arguments: str) -> None:
    before = folder.files()
    answer = folder.askel(*(arguments or ("run", "job.toml")))
    assert answer.code == 2, answer
    assert re.search(words, answer.line()), answer.line()
    assert folder.files() == before


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_of_a_job(atoms, mistake: str) -> None:
    old, new, words = MISTAKES[mistake]
    assert old in tiny.JOB
    atoms.write(tiny.JOB.replace(old, new, 1))
    refused(atoms, words)


# ---------------------------------------------------------------------- atoms

#: what is wrong -> (what is done to ase.Atoms, words)
ATOMS = {
    "unknown species": (lambda a: a.set_atomic_numbers([79, *a.numbers[1:]]), "atomic number 79.*made for 29"),
    "not finite": (lambda a: a.positions.__setitem__((3, 1), float("nan")), "nan|not finite|finite"),
    "overlap": (lambda a: a.positions.__setitem__(1, a.positions[0] + 0.01), "0.01|closer|apart"),
    "heavy": (lambda a: a.set_masses([500.0] * len(a)), "mass 500 amu.*63.546"),
    "no cell": (lambda a: a.set_cell([0.0, 7.2, 7.2]), "cell"),
}


@pytest.mark.parametrize("mistake", ATOMS)
def test_mistakes_in_the_atoms(atoms, mistake: str) -> None:
    from ase.io import read, write

    change, words = ATOMS[mistake]
    image = read(atoms.path / "copper.xyz")
    change(image)
    write(atoms.path / "copper.xyz", image)
    atoms.write(tiny.JOB)
    refused(atoms, words)


def test_a_file_without_species(atoms) -> None:
    atoms.write("1.0 0 0 0 0.1 0 0\n1.0 3 0 0 -0.1 0 0\n", "copper.txt")
    atoms.write(tiny.JOB.replace("copper.xyz", "copper.txt"))
    refused(atoms, "no species")


def test_forces_that_cannot_do_these_atoms(atoms) -> None:
    from ase.io import read, write

    image = read(atoms.path / "copper.xyz")
    image.numbers[:] = 92
    write(atoms.path / "copper.xyz", image)
    text = tiny.JOB.replace(
        'kind = "stride"\nmodel = "tiny.safetensors"', f'kind = "leapfrog"\nstep = "1 fs"\n{FORCES}'
    )
    atoms.write(text)
    refused(atoms, "copper-emt.*cannot do these atoms")


def test_a_cell_smaller_than_the_cutoff_counts_all_images(atoms) -> None:
    tiny.copper_file(atoms.path / "copper.xyz", 1)  # 3.6 Angstrom, the cutoff is 3.2
    atoms.write(tiny.JOB.replace('"400 fs"', '"80 fs"'))
    answer = atoms.askel("run", "job.toml", "--quiet")
    assert answer.code == 0, answer.err


# ---------------------------------------------------------------------- model files


class _Hostile:
    def __reduce__(self) -> tuple:
        return os.system, ("touch was_run",)


def _newer(path: Path) -> None:
    """Write a header that says version 99."""
    raw = path.read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    header = raw[8 : 8 + size].replace(b'"version":"1"', b'"version":"99"')
    path.write_bytes(struct.pack("<Q", len(header)) + header + raw[8 + size :])


#: what is wrong -> (what is done to the file, words)
MODELS = {
    "a pickle": (lambda p: p.write_bytes(pickle.dumps(_Hostile())), "not a model file"),
    "cut off": (lambda p: p.write_bytes(p.read_bytes()[:-100]), "not a model file, or is damaged"),
    "empty": (lambda p: p.write_bytes(b""), "not a model file"),
    "text": (lambda p: p.write_text("this is no model"), "not a model file"),
    "newer": (_newer, "version 99.*update askel"),
    "not finite": (lambda p: _flood(p), "not finite"),
}


def _flood(path: Path) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw[:-64] + b"\xff" * 64)


@pytest.mark.parametrize("command", [("run", "job.toml"), ("info", "tiny.safetensors"), ("models", "tiny.safetensors")])
@pytest.mark.parametrize("mistake", MODELS)
def test_damaged_and_hostile_models(atoms, mistake: str, command: tuple[str, ...]) -> None:
    change, words = MODELS[mistake]
    before = (atoms.path / "tiny.safetensors").read_bytes()
    change(atoms.path / "tiny.safetensors")
    assert (atoms.path / "tiny.safetensors").read_bytes() != before
    atoms.write(tiny.JOB)
    refused(atoms, words, *command)
    assert not (atoms.path / "was_run").exists()


# ---------------------------------------------------------------------- recipes and evaluate

RECIPES = {
    "no reference": ("data", "segments = 3\n", "neither of reference"),
    "unknown reference": ("data", 'reference = "gold-emt"\n', "no reference 'gold-emt'.*copper-emt"),
    "unknown key": ("data", 'reference = "copper-emt"\nsegmnts = 3\n', "segmnts.*did you mean 'segments'"),
    "no multiple": ("data", 'reference = "copper-emt"\ninterval = 15.0\n', "interval = 15.*step of 2"),
    "a time as text": ("data", 'reference = "copper-emt"\nstep = "2 fs"\n', "step = .*must be a number"),
    "no such trajectory": ("data", '[trajectories]\nfiles = ["none.xyz"]\ninterval = 1.0\n', "none.xyz"),
    "no such structure": ("data", 'reference = "copper-emt"\nstructure = "none.xyz"\n', "none.xyz"),
    "no data": ("train", "strides = [16.0]\nsteps = 3\n", "needs data"),
    "no such data": ("train", 'data = ["none.h5"]\nstrides = [16.0]\nsteps = 3\n', "none.h5"),
    "unknown key of training": ("train", 'data = ["a.h5"]\nlearning_rat = 3\n', "did you mean 'learning_rate'"),
    "no budget": ("train", 'data = ["a.h5"]\nstrides = [16.0]\n', "budget"),
    "no strides": ("train", 'data = ["a.h5"]\nsteps = 3\n', "strides"),
    "not TOML": ("train", "data = [", "not valid TOML"),
}


@pytest.mark.parametrize("mistake", RECIPES)
def test_mistakes_of_a_recipe(folder, mistake: str) -> None:
    command, text, words = RECIPES[mistake]
    if command == "train":
        pytest.importorskip("torch")
    folder.write(text, "recipe.toml")
    answer = folder.askel(command, "recipe.toml", "out.h5" if command == "data" else "out.safetensors")
    assert answer.code == 2, answer
    assert re.search(words, answer.line()), answer.line()
    assert not (folder.path / "out.h5").exists() and not (folder.path / "out.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("tiny.safetensors",), "give --data.*--reference"),
        (("tiny.safetensors", "--data", "none.h5"), "none.h5"),
        (("tiny.safetensors", "--data", "copper.xyz"), "no run is longer than the stride"),
        (("tony", "--data", "copper.xyz"), "no model 'tony'"),
        (("tiny.safetensors", "--reference", "copper.xyz", "--time", "3 kg"), "--time 3 kg.*a mass"),
        (("tiny.safetensors", "--reference", "copper.xyz", "--time", "0 ps"), "--time 0 ps.*positive"),
    ],
)
def test_mistakes_of_evaluate(atoms, arguments: tuple[str, ...], words: str) -> None:
    refused(atoms, words, "evaluate", *arguments)


def test_data_and_train_do_not_replace_files(folder) -> None:
    folder.write('reference = "copper-emt"\n', "recipe.toml")
    (folder.path / "out.h5").write_bytes(b"mine")
    refused(folder, "out.h5 is there already", "data", "recipe.toml", "out.h5")
    refused(folder, r"end in \.h5", "data", "recipe.toml", "out.txt")
