"""Every mistake of a user: one line, exit code 2, nothing written."""

from __future__ import annotations

import os
import pickle
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

JOB = Path(__file__).with_name("job.toml").read_text()
BODIES = JOB[JOB.index("[[particles") : JOB.index("[integrator]")]

#: what is wrong -> (text in the job, what it becomes, words that the line must hold)
MISTAKES = {
    "unknown table": ("[output]", "[outptu]", "outptu.*did you mean 'output'"),
    "unknown key": ("t_end = 1.0", "t_ned = 1.0", r"run\.t_ned.*did you mean 't_end'"),
    "unknown key of a body": ("mass = 1.0\nposition = [1", "mas = 1.0\nposition = [1", r"body\.0\.mas.*'mass'"),
    "unknown option of a method": ("step = 0.01", "step = 0.01\nstpe = 3", r"integrator\.stpe.*did you mean 'step'"),
    "unknown method": ('"leapfrog"', '"leapfog"', "leapfog.*did you mean 'leapfrog'"),
    "unknown units": ('"nbody"', '"nbdy"', "units.system.*nbdy.*'nbody'"),
    "no units": ('[units]\nsystem = "nbody"', "", r"\[units\] is missing"),
    "two of three units": ('system = "nbody"', 'length = "1 pc"\nmass = "1 Msun"', "units.time is missing"),
    "not finite": ("[1.0, 0.0, 0.0]", "[nan, 0.0, 0.0]", r"particles\.body\.0\.position\.0 = nan.*finite"),
    "infinite": ("[1.0, 0.0, 0.0]", "[inf, 0.0, 0.0]", "inf.*finite"),
    "zero mass": ("mass = 1.0\nposition = [1", "mass = 0.0\nposition = [1", "mass of particle 0 is 0.*positive"),
    "negative mass": ("mass = 1.0\nposition = [1", "mass = -1.0\nposition = [1", "mass of particle 0 is -1.*positive"),
    "two in one place": ("[-1.0, 0.0, 0.0]", "[1.0, 0.0, 0.0]", "particles 0 and 1 are at the same position"),
    "identity twice": ("mass = 1.0", "identity = 3\nmass = 1.0", "identity 3 is used twice"),
    "identity for some": ("mass = 1.0\nposition = [1", "identity = 3\nmass = 1.0\nposition = [1", "identity.*none"),
    "unit of a wrong kind": ("t_end = 1.0", 't_end = "1 pc"', r"run\.t_end.*a length.*a time"),
    "unknown unit": ("t_end = 1.0", 't_end = "1 parsek"', "parsek"),
    "unit in units without scale": ("t_end = 1.0", 't_end = "1 yr"', "no physical scale"),
    "zero step": ("step = 0.01", "step = 0.0", "integrator.step = 0: must be a positive"),
    "no step": ("step = 0.01", "", "neither of step and tolerance"),
    "step and tolerance": ("step = 0.01", "step = 0.01\ntolerance = 1e-6", "both of step and tolerance"),
    "step of an adaptive method": ('"leapfrog"', '"radau15"', "chooses its own steps"),
    "end before the start": ("t_end = 1.0", "t_end = -1.0", "run.t_end = -1 is not after"),
    "end at the start": ("t_end = 1.0", "t_end = 0.0", "run.t_end = 0 is not after"),
    "no end": ("t_end = 1.0", "", "run.t_end is missing"),
    "no particles": (BODIES, "", "particles is missing"),
    "file and bodies": ("[integrator]", '[particles]\nfile = "a.txt"\n[integrator]', "both of file"),
    "no such file": (BODIES, '[particles]\nfile = "none.txt"\n', "none.txt.*No such file"),
    "frames that fill the disk": ("every = 0.1", "every = 1e-15", "output.every asks for"),
    "no output interval": ("every = 0.1", "every = 0.0", "output.every = 0: must be a positive"),
    "output outside": ('"run.h5md"', '"../run.h5md"', "inside the output folder"),
    "output elsewhere": ('"run.h5md"', '"/tmp/askel-test-run.h5md"', "inside the output folder"),
    "output of another name": ('"run.h5md"', '"run.hdf5"', r"must end in \.h5md"),
    "relativity without light": ("[run]", '[post_newtonian]\nterms = ["1"]\n[run]', "no speed of light.*speed_of_light"),
    "relativity under leapfrog": (
        'system = "nbody"', 'system = "nbody"\nspeed_of_light = 9.0\n[post_newtonian]\nterms = ["1"]', "kind = 'chain'",
    ),
    "unknown term": (
        'system = "nbody"', 'system = "nbody"\nspeed_of_light = 9.0\n[post_newtonian]\nterms = ["1.5"]', "no term '1.5'.*known",
    ),
    "faster than light": (
        'system = "nbody"', 'system = "nbody"\nspeed_of_light = 0.1\n[post_newtonian]\nterms = ["1"]', "faster than light",
    ),
    "mergers without light": ("[run]", "[mergers]\n[run]", "no speed of light"),
    "light beside scales": ('system = "nbody"', 'system = "si"\nspeed_of_light = 9.0', "speed_of_light is for"),
    "unknown kind of body": ("mass = 1.0", 'kind = "blak-hole"\nmass = 1.0', "blak-hole.*did you mean 'black-hole'"),
    "text for a number": ("step = 0.01", 'step = 0.01\n[gravity]\nsoftening = "soft"', r"gravity\.softening"),
    "negative softening": ("step = 0.01", "step = 0.01\n[gravity]\nsoftening = -1.0", "softening = -1"),
    "unknown softening": (
        "step = 0.01", 'step = 0.01\n[gravity]\nkernel = "gauss"', r"gravity\.kernel.*'plummer', 'spline' or 'wendland'",
    ),
    "error of a force that is not a number": (
        "step = 0.01", 'step = 0.01\n[gravity]\nkind = "fmm"\nrelative_error = "small"', r"gravity\.relative_error",
    ),
    "error of a force out of range": (
        "step = 0.01", 'step = 0.01\n[gravity]\nkind = "fmm"\nrelative_error = 1.0', r"gravity\.relative_error.*0\.1",
    ),
    "error of exact forces": (
        "step = 0.01", "step = 0.01\n[gravity]\nrelative_error = 1e-4", "relative_error = 0.0001.*'direct' does not take it",
    ),
    "stars apart in fast multipoles": (
        "step = 0.01", 'step = 0.01\n[gravity]\nkind = "fmm"\nstar_star = "none"', "star_star = 'none': kind 'fmm' does not",
    ),
    "fast multipoles in a chain": (
        'kind = "leapfrog"\nstep = 0.01', 'kind = "chain"\n[gravity]\nkind = "fmm"', "gravity.kind = 'fmm'.*sums all pairs",
    ),
    "softening law in a chain": (
        'kind = "leapfrog"\nstep = 0.01', 'kind = "chain"\n[gravity]\nkernel = "spline"', "gravity.kernel = 'spline'",
    ),
    "mixed precision without a GPU": (
        "step = 0.01", 'step = 0.01\n[gravity]\nprecision = "mixed"', "precision is 'mixed'; expected 'double', or 'mixed' with",
    ),
    "mixed precision in a chain": (
        'kind = "leapfrog"\nstep = 0.01', 'kind = "chain"\n[gravity]\nprecision = "mixed"', "'chain' is in double precision",
    ),
    "precision of fast multipoles": (
        "step = 0.01", 'step = 0.01\n[gravity]\nkind = "fmm"\nprecision = "mixed"', "precision = 'mixed': kind 'fmm' does not",
    ),
    "unknown force": ("step = 0.01", 'step = 0.01\n[gravity]\nkind = "tree"', "gravity.kind = 'tree'.*direct"),
    "regions without a radius": ('"leapfrog"', '"regions"', "integrator.radius is missing"),
    "regions without a step": ('"leapfrog"\nstep = 0.01', '"regions"\nradius = 0.1', "integrator.step is missing"),
    "a radius that is a time": (
        '"leapfrog"', '"regions"\nradius = "1 yr"', r"integrator\.radius = '1 yr'.*expected a length",
    ),
    "a radius within the softening": (
        '"leapfrog"', '"regions"\nradius = 0.1\nsoftening = 1', r"unknown key 'integrator\.softening'",
    ),
    "a radius below the softening": (
        'kind = "leapfrog"\nstep = 0.01', 'kind = "regions"\nstep = 1\nradius = 0.1\n[gravity]\nsoftening = 1.0',
        "kernel 'plummer' softens at any distance",
    ),
    "a radius inside the splines": (
        'kind = "leapfrog"\nstep = 0.01',
        'kind = "regions"\nstep = 1\nradius = 0.1\n[gravity]\nkernel = "spline"\nsoftening = 1.0',
        "radius of the regions is 0.1, and forces are softened within 2.8",
    ),
    "block steps without anything to judge by": (
        'kind = "leapfrog"', 'kind = "block-leapfrog"\naccuracy = -1.0', "accuracy is -1",
    ),
    "not TOML": ("[units]", "[units", "not valid TOML"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_job_is_one_line_and_code_2_and_writes_nothing(folder, mistake: str) -> None:
    old, new, words = MISTAKES[mistake]
    assert old in JOB
    folder.write(JOB.replace(old, new))
    before = folder.files()
    for option in ("--overwrite", "--resume", "--dry-run"):
        answer = folder.askel("run", "job.toml", option)
        assert answer.code == 2, answer
        assert re.search(words, answer.line()), answer.line()
        assert folder.files() == before
        assert not Path("/tmp/askel-test-run.h5md").exists()


def test_the_job_itself_is_good(folder) -> None:
    folder.write()
    assert folder.askel("run", "job.toml", "--quiet").code == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 0 0 0 0 0 0\n1 1 0 0 nan 0 0\n", "velocity of particle 1 is not finite"),
        ("1 0 0 0 0 0 0\n1 1 0 0 0 0\n", "line 2.*6 numbers; expected 7"),
        ("0 0 0 0 0 0 0\n1 1 0 0 0 0 0\n", "mass of particle 0 is 0"),
        ("1 0 0 0 0 0 0\n1 0 0 0 0 0 0\n", "same position"),
        ("", "empty"),
    ],
)
def test_a_bad_text_file(folder, text: str, words: str) -> None:
    folder.write(JOB.replace(BODIES, '[particles]\nfile = "bodies.txt"\n'))
    folder.write(text, "bodies.txt")
    before = folder.files()
    answer = folder.askel("run", "job.toml")
    assert answer.code == 2
    assert re.search(words, answer.line()), answer.line()
    assert folder.files() == before


def test_text_without_units_anywhere(folder) -> None:
    job = JOB.replace(BODIES, '[particles]\nfile = "bodies.txt"\n').replace('[units]\nsystem = "nbody"', "")
    folder.write(job)
    folder.write("1 0 0 0 0 0 0\n1 1 0 0 0 0 0\n", "bodies.txt")
    answer = folder.askel("run", "job.toml")
    assert answer.code == 2
    assert "units" in answer.line()


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:700])


def _foreign(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["something"] = np.arange(3)


def _pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps({"mass": [1.0]}))


@pytest.mark.parametrize("damage", [_truncated, _foreign, _pickled])
def test_a_file_that_is_damaged_or_not_ours(folder, damage) -> None:
    folder.write()
    assert folder.askel("run", "job.toml", "--quiet").code == 0
    damage(folder.path / "run.h5md")
    folder.write(
        JOB.replace(BODIES, '[particles]\nfile = "run.h5md"\n').replace('"run.h5md"\nevery', '"new.h5md"\nevery'),
        "b.toml",
    )
    before = folder.files()
    for command in (("run", "b.toml"), ("info", "run.h5md"), ("plot", "run.h5md"), ("convert", "run.h5md", "run.csv")):
        answer = folder.askel(*command)
        assert answer.code == 2, (command, answer)
        assert answer.line()
        assert folder.files() == before


def test_existing_output_stays(folder) -> None:
    folder.write()
    (folder.path / "run.h5md").write_text("precious")
    before = folder.files()
    for options in ((), ("--dry-run",), ("--resume",)):
        answer = folder.askel("run", "job.toml", *options)
        assert answer.code == 2
        assert "run.h5md" in answer.line() and "--overwrite" in answer.line()
        assert folder.files() == before
    assert folder.askel("run", "job.toml", "--overwrite", "--quiet").code == 0
    assert (folder.path / "run.h5md").read_bytes() != b"precious"


def test_any_file_of_a_run_is_an_existing_output(folder) -> None:
    folder.write()
    for name in ("run.checkpoint", "run.checkpoint.previous", "run.used.toml"):
        (folder.path / name).write_text("precious")
        answer = folder.askel("run", "job.toml")
        assert answer.code == 2
        assert name in answer.line()
        (folder.path / name).unlink()


def test_a_link_does_not_lead_out_of_the_folder(folder) -> None:
    inside = folder.path / "inside"
    inside.mkdir()
    (folder.path / "outside").mkdir()
    (inside / "way").symlink_to(folder.path / "outside")
    folder.write(JOB.replace('"run.h5md"', '"way/run.h5md"'))
    answer = folder.askel("run", "job.toml", "--folder", "inside")
    assert answer.code == 2
    assert "leads out" in answer.line()
    assert not list((folder.path / "outside").iterdir())


def test_the_user_may_write_elsewhere(folder) -> None:
    folder.write()
    (folder.path / "here").mkdir()
    target = folder.path / "there" / "run.h5md"
    assert folder.askel("run", "job.toml", "--quiet", "--folder", "here", "-s", f"output.file={target}").code == 0
    assert target.exists()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(folder) -> None:
    folder.write()
    closed = folder.path / "closed"
    closed.mkdir(mode=0o555)
    answer = folder.askel("run", "job.toml", "--folder", "closed")
    assert answer.code == 2
    assert "read-only" in answer.line()


def test_a_folder_that_refuses(folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write()
    monkeypatch.setattr(os, "access", lambda *_: False)
    answer = folder.askel("run", "job.toml")
    assert answer.code == 2
    assert "read-only" in answer.line()
    assert set(folder.files()) == {"job.toml"}


def test_a_file_where_a_folder_should_be(folder) -> None:
    folder.write(JOB.replace('"run.h5md"', '"job.toml/run.h5md"'))
    answer = folder.askel("run", "job.toml")
    assert answer.code == 2
    assert "job.toml" in answer.line()


def test_no_job_file(folder) -> None:
    answer = folder.askel("run", "none.toml")
    assert answer.code == 2
    assert "none.toml" in answer.line()
    (folder.path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    assert folder.askel("run", "binary.toml").code == 2


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("run.t_end", "expected key=value"),
        ("run.t_end.x=1", "run.t_end"),
        ("run.t_ned=1", "did you mean 't_end'"),
        ("particles.body.9.mass=1", "no row"),
        ("integrator.step=fast", "integrator.step"),
    ],
)
def test_bad_overrides(folder, override: str, words: str) -> None:
    folder.write()
    answer = folder.askel("run", "job.toml", "-s", override)
    assert answer.code == 2
    assert words in answer.line()


def test_memory_is_estimated_first(folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write()
    monkeypatch.setattr("askel.checks.available_memory", lambda: 100)
    answer = folder.askel("run", "job.toml")
    assert answer.code == 2
    assert "GiB" in answer.line()


def test_mistakes_at_the_command_line(folder) -> None:
    assert folder.askel("run").code == 2
    assert folder.askel("rum").code == 2
    assert folder.askel("run", "job.toml", "--max-hours", "-1").code == 2
    assert folder.askel("example", "black_hole_tripel").code == 2
