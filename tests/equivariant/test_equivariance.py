"""Symmetries of the network: rotation, reflection, translation, permutation, images, batches; each seen when broken."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

PARITIES = ["natural", "both"]
TOLERANCES = [(torch.float64, 1e-12), (torch.float32, 1e-5)]
every_precision = pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES, ids=["double", "single"])


def improper(seed=4):
    """Return a rotation times the inversion."""
    return -Rotation.random(random_state=seed).as_matrix()


def turned(system, turn):
    new = system | {"position": system["position"] @ turn.T, "velocity": system["velocity"] @ turn.T}
    return new | {"cell": system["cell"] @ turn.T} if "cell" in system else new


def numbers(outputs):
    return [out.detach().numpy() for out in outputs]


def difference(mine, expected):
    return max(np.abs(a - b).max() / np.abs(b).max() for a, b in zip(mine, expected, strict=True))


@pytest.fixture
def strides(make_architecture, make_network, make_batch):
    """Return a maker of functions: systems -> displacement and velocity as arrays."""

    def make(dtype=torch.float64, **changes):
        a = make_architecture(**changes)
        network = make_network(a, dtype=dtype)
        return lambda *systems: numbers(network(make_batch(a, *systems)))

    return make


@pytest.fixture
def energies(make_architecture, make_network, make_batch):
    def make(dtype=torch.float64, **changes):
        a = make_architecture(head="energy", **changes)
        network = make_network(a, dtype=dtype)

        def interaction(*systems):
            batch = make_batch(a, *systems)
            alone = torch.zeros(batch.n_frames, dtype=torch.float64)
            alone.index_add_(0, batch.frame, torch.tensor(a.atom_energy, dtype=torch.float64)[batch.species])
            return numbers([network.energy(batch) - alone])

        return interaction

    return make


@every_precision
@pytest.mark.parametrize("parity", PARITIES)
@pytest.mark.parametrize("l_max", [1, 2, 3])
def test_strides_turn_with_the_system(strides, make_system, l_max, parity, dtype, tolerance):
    stride, system = strides(dtype, l_max=l_max, parity=parity), make_system(8, 1)
    turn = improper()
    before = stride(system)
    after = stride(turned(system, turn))
    assert difference(after, [b @ turn.T for b in before]) < tolerance
    assert difference(after, before) > 0.1


@pytest.mark.parametrize("parity", PARITIES)
def test_strides_turn_with_the_cell(strides, make_system, parity):
    stride, system = strides(parity=parity), make_system(8, 1, periodic=True)
    turn = improper()
    assert difference(stride(turned(system, turn)), [b @ turn.T for b in stride(system)]) < 1e-11
    unturned_cell = turned(system, turn) | {"cell": system["cell"]}
    assert difference(stride(unturned_cell), [b @ turn.T for b in stride(system)]) > 1e-3


def test_reflection_alone(strides, make_system):
    """A mirror plane: features of both parities must know which of them change sign."""
    mirror = np.diag([1.0, 1.0, -1.0])
    stride, system = strides(parity="both", l_max=2), make_system(8, 1)
    assert difference(stride(turned(system, mirror)), [b @ mirror.T for b in stride(system)]) < 1e-12


@every_precision
def test_energies_do_not_turn(energies, make_system, dtype, tolerance):
    energy, system = energies(dtype, parity="both"), make_system(8, 1)
    assert difference(energy(turned(system, improper())), energy(system)) < tolerance
    assert difference(energy(system | {"position": 1.01 * system["position"]}), energy(system)) > 1e-4


@pytest.mark.parametrize("periodic", [False, True])
def test_translation_and_wrapping(strides, make_system, periodic):
    stride, system = strides(), make_system(8, 1, periodic)
    before = stride(system)
    moved = stride(system | {"position": system["position"] + [3.0, -7.0, 11.0]})
    assert difference(moved, before) < 1e-11
    if periodic:
        wrapped = system["position"].copy()
        wrapped[3] += system["cell"][0] - 2.0 * system["cell"][2]
        assert difference(stride(system | {"position": wrapped}), before) < 1e-11


@pytest.mark.parametrize("periodic", [False, True])
def test_permutation(strides, make_system, periodic):
    stride, system = strides(), make_system(8, 1, periodic)
    order = np.random.default_rng(0).permutation(8)
    shuffled = system | {key: system[key][order] for key in ("species", "mass", "position", "velocity")}
    before = stride(system)
    assert difference(stride(shuffled), [b[order] for b in before]) < 1e-12
    exchanged = system | {"species": system["species"][order], "mass": system["mass"][order]}
    assert difference(stride(exchanged), before) > 1e-3


@every_precision
def test_a_fixed_vector_in_the_features_would_be_seen(
    make_architecture, make_network, make_batch, make_system, dtype, tolerance
):
    """Positive control: a bias on a vector feature, a ten-thousandth of its size, breaks what the tests above hold."""
    a, system = make_architecture(), make_system(8, 1)
    network, turn = make_network(a, dtype=dtype), improper()
    exact = network.product

    def biased(paths, links, x, y, w):
        size = x.detach().square().mean().sqrt()
        bias = torch.zeros_like(x)
        bias[:, -a.channels :] = 10.0 * tolerance * size
        return exact(paths, links, x + bias, y, w)

    network.product = biased
    before, after = (numbers(network(make_batch(a, s))) for s in (system, turned(system, turn)))
    assert difference(after, [b @ turn.T for b in before]) > tolerance


@pytest.mark.parametrize("head", ["stride", "energy"])
def test_a_batch_gives_what_single_systems_give(strides, energies, make_system, head):
    systems = [make_system(8, 1), make_system(3, 2), make_system(8, 3, periodic=True), make_system(1, 4)]
    run = {"stride": strides, "energy": energies}[head]()
    together = run(*systems)
    single = [np.concatenate(parts) for parts in zip(*(run(s) for s in systems), strict=True)]
    assert difference(together, single) < 1e-12


def test_a_small_cell_gives_what_its_supercell_gives(make_architecture, make_network, make_batch, make_system):
    """Cell vectors of 1.6 Angstrom against a cutoff of 3: each atom sees several images of every other, and its own."""
    a = make_architecture()
    network = make_network(a)
    cell = np.array([[1.6, 0.0, 0.0], [0.4, 1.7, 0.0], [-0.3, 0.2, 2.0]])
    small = make_system(2, 5, periodic=True) | {"cell": cell, "position": np.array([[0.1, 0.0, 0.2], [0.7, 0.9, 1.2]])}
    steps = np.stack(np.meshgrid(*[range(2)] * 3, indexing="ij"), -1).reshape(-1, 3) @ cell
    large = small | {
        "cell": 2.0 * cell,
        "position": np.concatenate([small["position"] + step for step in steps]),
        **{key: np.concatenate([small[key]] * 8) for key in ("species", "mass", "velocity")},
    }
    one, eight = make_batch(a, small), make_batch(a, large)
    assert len(eight.sender) == 8 * len(one.sender) > 8 * 30
    mine, theirs = numbers(network(eight)), numbers(network(one))
    assert difference(mine, [np.tile(t, (8, 1)) for t in theirs]) < 1e-12


@pytest.mark.parametrize("head", ["stride", "energy"])
def test_atoms_beyond_reach_do_not_matter(strides, energies, make_system, head):
    """Two clusters far apart: the energy is a sum; displacements are those of the clusters, but for the common momentum."""
    one, other = make_system(8, 1), make_system(8, 1)
    both = {key: np.concatenate([one[key], other[key]]) for key in ("species", "mass", "position", "velocity")}
    both["position"][8:] += [50.0, 0.0, 0.0]
    both["stride"] = 7.0
    if head == "energy":
        energy = energies()
        assert energy(both)[0] == pytest.approx(2.0 * energy(one)[0], rel=1e-12)
    else:
        stride = strides()
        assert difference([stride(both)[0][:8]], [stride(one)[0]]) < 1e-12
