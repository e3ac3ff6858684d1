"""Whole judgements: of EMT copper against itself and a hotter run, of molecules, of models run over seeds; reports, pictures."""

import json

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.md.velocitydistribution import Stationary
from ase.md.verlet import VelocityVerlet
from ase.units import fs, kB
from askel.md.judging.ase_bonds import frames_from_atoms
from askel.md.judging.failure import Failure, Limits, before_failure, failure, ns_per_day, survival
from askel.md.judging.frames import make_frames
from askel.md.judging.judge import judge
from askel.md.judging.plot import plot
from askel.md.judging.report import NAN, Judgement, Row, decide, difference_row, number, with_error
from askel.particles import InputError


def copper(kelvin, steps=600, seed=0):
    """EMT copper, 32 atoms in NVE, a frame every 10 fs; half of the kinetic energy goes into the potential."""
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    atoms.calc = EMT()
    rng = np.random.default_rng(seed)
    atoms.set_velocities(rng.normal(size=(32, 3)) * np.sqrt(2 * kelvin * kB / atoms.get_masses())[:, None])
    Stationary(atoms)
    found = []
    run = VelocityVerlet(atoms, 5 * fs)
    run.run(40)

    def keep():
        image = atoms.copy()
        image.calc = _Known(atoms.get_potential_energy())
        found.append(image)

    run.attach(keep, interval=2)
    run.run(steps)
    return frames_from_atoms(found, interval=10.0)


class _Known:
    def __init__(self, energy):
        self.results = {"energy": energy}


@pytest.fixture(scope="module")
def cold():
    return copper(300.0)


def test_trajectory_passes_against_itself(cold):
    found = judge(cold, cold, wall_time=10.0)
    assert found.passed
    assert found.counts["pass"] >= 4
    assert found.find("RDF Cu-Cu").value == 0.0
    assert found.find("VDOS overlap").value == pytest.approx(1.0)
    assert abs(found.find("energy drift").value) < 1.0
    assert found.find("change of momentum").value < 1e-10
    assert found.find("end to end").value == pytest.approx(ns_per_day(3000.0, 10.0), rel=0.01)


def test_hotter_trajectory_fails_by_its_temperature(cold):
    hot = make_frames(
        cold.position, cold.species, 10.0, velocity=cold.velocity * np.sqrt(1.1), mass=cold.mass, cell=cold.cell
    )
    found = judge(hot, cold)
    row = found.find("all atoms")
    assert row.verdict == "fail"
    assert row.value / row.reference == pytest.approx(1.1)
    assert not found.passed
    assert judge(cold, cold, temperature=row.reference * 1.1).find("all atoms").verdict == "fail"


def test_other_structure_fails(cold):
    stretched = make_frames(
        cold.position * 1.03, cold.species, 10.0, velocity=cold.velocity, mass=cold.mass, cell=cold.cell * 1.03
    )
    row = judge(stretched, cold).find("RDF Cu-Cu")
    assert row.verdict == "fail"
    assert 0.02 < row.value < 1.0


def test_other_atoms_are_refused(cold):
    other = make_frames(cold.position, np.full(32, 28), 10.0, cell=cold.cell)
    with pytest.raises(InputError, match="same system"):
        judge(other, cold)


def test_positions_alone_can_be_judged(cold):
    bare = make_frames(cold.position, cold.species, 10.0, cell=cold.cell)
    found = judge(bare, bare)
    assert {r.section for r in found.rows} == {"stability", "structure"}


def test_reference_with_another_interval_is_thinned_or_spectra_are_left_out(cold):
    coarse = cold.part(slice(None, None, 2))
    assert judge(coarse, cold).find("VDOS overlap").value > 0.9
    found = judge(cold, coarse)
    assert any("cannot be thinned" in note for note in found.notes)
    with pytest.raises(KeyError):
        found.find("VDOS")


# ---------------------------------------------------------------------- failures


def ethanol(frames=50, interval=2.0):
    atoms = molecule("CH3CH2OH")
    rng = np.random.default_rng(0)
    v = rng.normal(size=(frames, len(atoms), 3)) * np.sqrt(300 * kB / atoms.get_masses())[:, None] * fs
    x = atoms.positions + 0.01 * rng.normal(size=v.shape)
    return make_frames(x, atoms.numbers, interval, velocity=v, mass=atoms.get_masses())


def broken(what, at=20):
    frames = ethanol()
    x, v = np.array(frames.position), np.array(frames.velocity)
    if what == "not finite":
        x[at:, 3] = np.nan
    elif what == "bond broken":
        x[at:, 3] += 3.0 * (x[at:, 3] - x[at:, 2])  # the hydrogen flies off the hydroxyl
    elif what == "atoms overlap":
        x[at:, 3] = x[at:, 4] + 0.1
    elif what == "too hot":
        v[at:] *= 4.0
    elif what == "atom lost":
        x[at:, :] *= 20.0
    return make_frames(x, frames.species, 2.0, velocity=v, mass=frames.mass)


@pytest.mark.parametrize("reason", ["not finite", "bond broken", "atoms overlap", "too hot"])
def test_failures_are_found_when_they_happen(reason):
    found = failure(broken(reason), 300.0)
    assert found == Failure(40.0, reason)
    assert len(before_failure(broken(reason), found)) == 20


def test_lost_atoms_and_sound_runs():
    no_bonds = np.zeros((0, 2), int)
    assert failure(broken("atom lost"), 300.0, bonds=no_bonds).reason == "atom lost"
    assert failure(ethanol(), 300.0) is None
    assert failure(broken("too hot"), 300.0, limits=Limits(heat=50.0)) is None
    assert before_failure(ethanol(), Failure(0.0, "not finite")) is None


def test_survival_has_wilsons_interval():
    found = survival([100.0] * 8, [None] * 6 + [Failure(30.0, "too hot"), Failure(50.0, "too hot")])
    assert (found.runs, found.failed, found.first) == (8, 2, 30.0)
    z, p, n = 1.959964, 0.25, 8
    middle, half = (p + z * z / (2 * n)), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert found.low == pytest.approx((middle - half) / (1 + z * z / n), abs=1e-6)
    assert found.high == pytest.approx((middle + half) / (1 + z * z / n), abs=1e-6)
    assert found.reasons == {"too hot": 2}
    assert found.lasted[-2:] == (30.0, 50.0)


def test_frames_after_a_failure_are_left_out():
    found = judge([ethanol(), broken("not finite")], ethanol())
    row = found.find("failed runs of 2")
    assert row.value == 0.5
    assert row.verdict == "fail"
    assert "not finite" in row.quantity
    assert all(np.isfinite(r.value) for r in found.rows if r.section == "structure")
    at_once = judge(broken("not finite", 0), ethanol())
    assert any("every run failed" in note for note in at_once.notes)


def test_ns_per_day():
    assert ns_per_day(1e6, 86400.0) == pytest.approx(1.0)


# ---------------------------------------------------------------------- reports


def test_verdicts():
    assert decide(0.5, 1.0, 0.1) == "pass"
    assert decide(0.5, 1.0, 2.0) == "unclear"
    assert decide(1.1, 1.0, 0.1) == "unclear"
    assert decide(-1.3, 1.0, 0.1) == "fail"
    assert decide(0.5, NAN, 0.1) == ""
    assert decide(NAN, 1.0, 0.1) == "unclear"
    row = difference_row("t", "all", (310.0, 0.3), (300.0, 0.4), 6.0, "K")
    assert (row.verdict, row.bound) == ("fail", 6.0)


def test_numbers_are_short():
    assert [number(x) for x in (0.0, 3.14159, 1234.5, 1e-9, NAN)] == ["0", "3.14", "1234", "1.00e-09", ""]
    assert with_error(300.123, 0.45) == "300.12 ± 0.45"
    assert with_error(float("inf"), NAN) == "∞"


def test_reports(cold, tmp_path):
    found = judge(cold, cold, title="Copper against itself")
    text, markdown, tree = found.table(), found.to_markdown(), json.loads(found.to_json(curves=True))
    for row in found.rows:
        assert row.quantity in markdown
        assert row.quantity.split()[0] in text
    assert {line.count("|") for line in markdown.splitlines() if line.startswith("|")} == {7}
    assert tree["passed"] is True
    assert len(tree["rows"]) == len(found.rows)
    assert {c["section"] for c in tree["curves"]} == {"temperature", "rdf", "angle", "vdos"}
    assert plot(found, tmp_path / "j.png").stat().st_size > 20_000
    with pytest.raises(InputError, match="pictures are"):
        plot(found, tmp_path / "j.doc")


def test_judgements_are_put_together():
    one = Judgement("a", (Row("s", "x", 1.0),), notes=("n",), facts={"k": 1})
    both = one.and_(Judgement("b", (Row("s", "y", 2.0, verdict="fail"),), notes=("n",)))
    assert (both.title, len(both.rows), both.notes, both.passed) == ("a", 2, ("n",), False)
    assert both.summary == "0 pass, 1 fail, 0 unclear"
