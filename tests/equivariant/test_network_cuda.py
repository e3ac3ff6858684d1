"""The network on a CUDA device: run by the simulator, compiled to PTX and assembled; with a GPU, at real size."""

import sys

import numpy as np
import pytest
from askel.equivariant import Engine, Model
from askel.equivariant.parameters import parameters
from askel.equivariant.paths import paths
from askel.particles import InputError, MissingDependency

BOTH = ((0, 1), (0, -1), (1, -1), (1, 1), (2, 1), (2, -1))
HIGHEST = ((0, 1), (0, -1), (1, -1), (1, 1), (2, 1), (2, -1), (3, -1), (3, 1))

_SMALL = """
import sys
import numpy as np
from askel.equivariant._kernels import device_cuda
device_cuda.LANES, device_cuda.WARPS, device_cuda.SHARED = 2, 2, 1200  # several blocks, tiles and chunks of small arrays
from askel.equivariant._kernels import coupling_cuda, edges_cuda
coupling_cuda.TILE, coupling_cuda.EDGES, edges_cuda.THREADS = 2, 2, 4
"""

_KERNELS = (
    _SMALL
    + """
from askel.equivariant.paths import paths
from askel.particles import resolve

n, edges, channels, rows = 3, 5, 5, 7
rng = np.random.default_rng(1)
sender, receiver = rng.integers(0, n - 1, edges), np.sort(rng.integers(0, n - 1, edges))


def first(index):
    return np.concatenate([[0], np.cumsum(np.bincount(index, minlength=n))])


def compared(dtype, tolerance, kinds):
    p = paths(kinds, kinds, kinds[-1][0])
    x, y, w, g, table, b = (
        rng.normal(size=size).astype(dtype)
        for size in (
            (n, p.dim_in, channels), (edges, (p.l_max + 1) ** 2), (edges, p.n, channels), p.rows * n * channels,
            (rows, p.n, channels), (edges, 4),
        )
    )
    place, tables = rng.integers(0, rows - 3, edges), (p.table, p.entries, p.values.astype(dtype))
    by_receiver, by_sender = (sender, receiver, first(receiver)), (sender, receiver, np.argsort(sender, kind="stable"))
    for name, given, shape in (
        ("couple", (x, y, w, *by_receiver), g.shape),
        ("couple_tabulated", (x, y, place, b, table, *by_receiver), g.shape),
        ("couple_x", (g, y, w, *by_sender, first(sender)), x.shape),
        ("couple_w", (x, y, g, sender, receiver), w.shape),
        ("couple_y", (x, w, g, sender, receiver), y.shape),
    ):
        mine, expected = np.full(shape, np.nan, dtype), np.full(shape, np.nan, dtype)
        kept = [a.copy() for a in given]
        assert resolve(name, "cuda")(*given, *tables, mine) == resolve(name, "reference")(*given, *tables, expected) == 0
        assert all(np.array_equal(a, b) for a, b in zip(given, kept))
        size = np.abs(expected).max()
        assert size > 0.1 and np.abs(mine - expected).max() <= tolerance * size, (name, dtype)


# one kind that no path reads, degrees that skip, and three rows of shared memory for twelve harmonics
compared(np.float64, 2e-15, ((0, 1), (1, -1), (1, 1)))
compared(np.float64, 2e-15, ((0, -1), (3, -1)))
compared(np.float32, 1e-6, ((0, 1), (2, 1)))
print("the same")
"""
)

_EDGES = (
    _SMALL
    + """
from types import SimpleNamespace
from askel.equivariant.device import SKIN, Device
from askel.equivariant.graph import neighbour_graph
from askel.equivariant.operations import Host
from askel.equivariant.tables import RadialTable, basis

rng = np.random.default_rng(2)
architecture = SimpleNamespace(cutoff=1.7, l_max=3)
device, host = (kind(np.dtype("float64")) for kind in (Device, Host))
cell, periodic, asked = 2.2 * np.eye(3), [True] * 3, []


def both(places, same=()):
    def graph(beyond):
        asked.append(beyond)
        return neighbour_graph(places, cell, periodic, architecture.cutoff + beyond)

    mine, theirs = (do.edges(graph, places, architecture, same) for do in (device, host))
    c, count = mine.candidates, len(theirs.length)
    assert mine.start[-1] == count and np.array_equal(mine.start, theirs.graph.start)
    order, expected = (np.lexsort((np.round(length, 9), receiver)) for length, receiver in (
        (c.length[:count], c.receiver[:count]), (theirs.length, theirs.graph.receiver)))
    assert np.array_equal(c.sender[:count][order], theirs.graph.sender[expected])
    assert np.abs(c.length[:count][order] - theirs.length[expected]).max() < 1e-14
    assert np.abs(c.harmonics[:count][order] - theirs.harmonics[expected]).max() < 1e-14
    assert np.allclose(mine.closest()[0], theirs.closest()[0], rtol=1e-15)
    assert sorted(mine.closest()[1:]) == sorted(theirs.closest()[1:])
    table = RadialTable(np.zeros((9, 1)), 0.2, 0.25, 0.0, 0.0)
    edges_cuda.table_places(mine.start, c.length, table.shortest, table.spacing, 9, c.place, c.fractions)
    scaled = (theirs.length - table.shortest) / table.spacing
    place = np.minimum(scaled.astype(int), 5)
    fractions = basis(scaled - place)
    assert np.array_equal(c.place[:count][order], place[expected])
    assert np.abs(c.fractions[:count][order] - fractions[expected]).max() < 1e-13
    return count


places = rng.uniform(0.0, 2.2, (4, 3))
before = both(places)
near = places + 0.28 * SKIN * rng.uniform(-1.0, 1.0, places.shape)
assert both(near) != before and asked == [SKIN, 0.0, 0.0]  # the candidates hold
both(near + [[0.6 * SKIN, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]])
assert asked[3:] == [SKIN, 0.0]  # one atom went too far
both(near, same=None)
assert asked[5:] == [0.0, 0.0]
both(near, (cell,))
cell *= 1.001
both(near, (cell,))
assert asked[7:] == [SKIN, 0.0] * 2  # the cell changed in place
print("the same")
"""
)

_ENGINES = (
    _SMALL
    + """
from ase import Atoms, units
from askel.equivariant import Architecture, Engine, Model
from askel.equivariant.parameters import parameters
from askel.md import LongStride

rng = np.random.default_rng(1)


def model(seed=1, **changes):
    rng = np.random.default_rng(seed)
    options = {
        "species": (1, 8), "masses": (1.008, 15.999), "cutoff": 1.6, "average_neighbours": 4.0, "strides": (3.5, 7.0),
        "velocity_scale": (0.02, 0.005), "drift": ((0.5, 0.4), (0.3, 0.2)), "memory": ((0.3, 0.2), (0.1, 0.5)),
        "displacement_scale": ((1.0, 0.8),) * 2, "velocity_change_scale": ((1.0, 0.8),) * 2, "channels": 2, "layers": 2,
        "l_max": 1, "radial_functions": 4, "radial_hidden": (8,), "speed_functions": 5, "speed_hidden": (6,),
    }
    a = Architecture(**options | changes)
    weights = {name: p.scale * rng.normal(size=p.shape) for name, p in parameters(a).items()}
    return Model(a, weights | {"bessel": np.pi * np.arange(1, 5), "readout": 10.0 * weights["readout"]})


species, mass = np.array([8, 1, 1, 8]), np.array([15.999, 1.008, 2.014, 15.999])
position = np.array([[0.0, 0.0, 0.0], [0.9, 0.1, 0.0], [0.0, 1.0, 0.2], [0.5, 0.4, 1.1]])
velocity = 0.01 * rng.normal(size=(4, 3))


def compare(model, dtype, tolerance, cell, periodic, starts=None, strides=1):
    engines = [Engine(model, dtype=dtype, backend=b) for b in ("reference", "cuda")]
    x, v = position, velocity
    for _ in range(strides):
        cpu, cuda = (e.stride(species, mass, x, v, cell, periodic, 7.0, starts) for e in engines)
        for mine, reference in zip(cuda, cpu):
            assert mine.dtype == np.float64 and mine.flags.c_contiguous
            size = np.abs(reference).max()
            assert size > 0.01 and np.abs(mine - reference).max() <= tolerance * size
        x = x + 0.1 * cpu[0] / np.abs(cpu[0]).max()
    if cell is not None:
        fresh = Engine(model, dtype=dtype, backend="cuda")  # has other candidates: a restart is equal to the last bit
        again = [e.stride(species, mass, x, v, cell, periodic, 7.0, starts) for e in (engines[1], fresh)]
        assert all(np.array_equal(a, b) for a, b in zip(*again))


compare(model(parity="both"), "float64", 1e-12, None, [False] * 3, strides=2)
compare(model(parity="both"), "float32", 1e-5, None, [False] * 3)
compare(model(l_max=2, layers=1, channels=1), "float64", 1e-12, np.diag([2.4, 2.5, 9.0]), [True, True, False])
compare(model(layers=1), "float64", 1e-12, None, [False] * 3, starts=[0, 3, 4])
one = model()
cpu, cuda = (Engine(one, dtype="float64", backend=b) for b in ("reference", "cuda"))
alone = (species[:2], mass[:2], 9.0 * position[:2], velocity[:2], None, [False] * 3, 3.5)
assert all(np.allclose(a, b, rtol=1e-12) for a, b in zip(cpu.stride(*alone), cuda.stride(*alone)))  # no edges
ends = []
for backend in ("reference", "cuda"):
    atoms = Atoms(species, position, momenta=mass[:, None] * velocity / units.fs)
    options = {"model": model(seed=5), "temperature_K": 300, "precision": "float64", "rng": 1}
    dynamics = LongStride(atoms, 7.0 * units.fs, backend=backend, **options)
    dynamics.run(2)
    ends.append(atoms)
assert dynamics.todict()["thermostat"] == "Langevin" and np.abs(ends[0].positions - position).max() > 0.01
assert np.allclose(ends[0].positions, ends[1].positions, rtol=1e-11)
try:
    cuda.stride(species, mass, 0.3 * position, velocity, None, [False] * 3, 7.0)
except Exception as error:
    assert type(error).__name__ == "InputError" and "atoms 0 and 1 are 0.272 Angstrom apart" in str(error), error
else:
    raise AssertionError("atoms too close were accepted")
print("the same")
"""
)

_TRAINING = (
    _SMALL
    + """
import torch
from askel.equivariant import products
from askel.equivariant.paths import paths

kinds = ((0, 1), (1, -1), (1, 1))
p, rng = paths(kinds, kinds, 1), np.random.default_rng(0)
links = products.Links(torch.tensor([3, 1, 1, 0]), torch.tensor([0, 0, 1, 2]), 3, ghosts=1)
arrays = [torch.from_numpy(rng.normal(size=size)).requires_grad_() for size in ((4, p.dim_in, 3), (4, 4), (4, p.n, 3))]
products._BACKENDS["cpu"] = "cuda"  # the simulator's memory is the host's
found = []
for product in (products.couple, products.couple_by_matrices):
    out = product(p, links, *arrays)
    first = torch.autograd.grad(out.pow(3).sum(), arrays, create_graph=True)
    second = torch.autograd.grad(sum(g.square().sum() for g in first), arrays)
    found.append([out, *first, *second])
for mine, theirs in zip(*found):
    assert theirs.abs().max() > 0.1 and (mine - theirs).abs().max() < 1e-13 * theirs.abs().max()
print("the same")
"""
)

_ARGUMENTS = {
    "messages": "{f}2 {f}2 i1 {f}2 {f}2 i1 i1 j2 j1 j1 {f}1 i i {f}2",
    "messages_from_table": "{f}2 {f}2 j1 {f}2 {f}2 j1 i1 j2 j1 j1 {f}1 i i {f}2",
    "pull_features": "{f}2 {f}2 {f}2 i1 i1 i1 j2 j1 j1 {f}1 j2 j1 i i i {f}2",
    "pull_weights": "{f}2 {f}2 {f}2 i1 i1 j2 j1 j1 {f}1 i i {f}2",
    "pull_harmonics": "{f}2 {f}2 {f}2 i1 i1 j2 j2 j2 j1 j1 {f}1 i i i {f}2",
}
_OF_EDGES = {
    "count_near": "f2 i1 j1 f2 f f1 i1",
    "take_near": "f2 i1 j1 f2 f i1 j1 j1",
    "measure": "f2 j1 f2 i1 j1 j1 j1 f1 {f}2",
    "find_places": "i1 f1 f f i j1 {f}2",
}


def _has_device():
    from numba import cuda

    return cuda.is_available()


without_device = pytest.mark.skipif(_has_device(), reason="there is a device")
with_device = pytest.mark.skipif(not _has_device(), reason="there is no device")


@pytest.mark.parametrize(
    "code", [_KERNELS, _EDGES, _ENGINES, _TRAINING], ids=["kernels", "edges", "engines", "training"]
)
def test_the_simulator_gives_what_the_cpu_gives(simulated, code):
    assert simulated(code) == ["the", "same"]


@pytest.fixture(scope="module", params=["s", "f"], ids=["float32", "float64"])
def machine(assembled, request):
    """Return the letter of the type, and (name, capability) -> what an assembled kernel needs."""
    built = {}
    for module, arguments in (("coupling_cuda", _ARGUMENTS), ("edges_cuda", _OF_EDGES)):
        lines = [f"{name} {codes.format(f=request.param)}" for name, codes in arguments.items()]
        built |= assembled(module, *lines)
    return request.param, built


def test_sums_stay_in_registers(machine):
    """No number is spilled, and none of a float32 kernel is widened; a row of 1, 3, 5 or 7 sums is a fused instruction a sum."""
    letter, built = machine
    for (name, _), kernel in built.items():
        assert not kernel.spills and ".local" not in kernel.ptx
        if name in _ARGUMENTS:
            own, other = ("f32", "f64") if letter == "s" else ("f64", "f32")
            assert kernel.ptx.count(f"fma.rn.{own}") >= (32 if name in ("messages", "pull_features") else 7)
            assert f".{other}" not in kernel.ptx


def test_launches_fit_a_device(machine):
    """Of dynamic shared memory a block takes what ``test_quartz...`` checks; here it is registers that decide."""
    from askel.equivariant._kernels.edges_cuda import THREADS

    for (name, _), kernel in machine[1].items():
        threads = 256 if name in _ARGUMENTS else THREADS
        assert kernel.shared == 0 and 16 <= kernel.registers <= 128
        assert kernel.resident(threads) >= 512  # sixteen warps


@pytest.mark.parametrize("itemsize", [4, 8])
@pytest.mark.parametrize("kinds", [((0, 1), (1, -1)), BOTH, HIGHEST], ids=["1", "2", "3"])
def test_tiles_fit_shared_memory(kinds, itemsize):
    from askel.equivariant._kernels.coupling_cuda import EDGES, TILE, chunk_of, tile_of
    from askel.equivariant._kernels.coupling_plan import make_plan
    from askel.equivariant._kernels.device_cuda import LANES, SHARED

    p = paths(kinds, kinds, kinds[-1][0])
    plan = make_plan(p.table, p.entries, p.values, p.dim_in, (p.l_max + 1) ** 2)
    assert len(plan.first) - 1 == p.mixing_size and plan.first[-1] == len(p.values)
    assert plan.groups[:, 1].sum() == p.dim_in and sorted(plan.members) == list(range(p.n))
    assert len(plan.met) == (p.table[:, 1] * p.table[:, 2]).sum() and len(plan.pulled) == p.table[:, 2].sum()
    tile, shared = tile_of(p.mixing_size, itemsize)
    assert 1 <= tile <= TILE and shared == tile * p.mixing_size * itemsize <= SHARED // 2
    chunk, shared = chunk_of(p.dim_in + p.n + len(plan.pulled), len(plan.met), itemsize)
    assert 4 <= chunk <= LANES and chunk & (chunk - 1) == 0 and shared <= SHARED
    assert EDGES * p.mixing_size * itemsize <= SHARED


def test_quartz_of_the_published_size_fits():
    """4,050 atoms, 64 channels, both parities: grids within the limits, and memory far below that of a device."""
    from askel.equivariant._kernels.coupling_cuda import tasks_of, tile_of
    from askel.equivariant._kernels.device_cuda import WARPS

    n, edges, channels = 4050, 4050 * 31, 64
    p = paths(BOTH, BOTH, 2)
    tasks = tasks_of(p.n, channels)
    assert p.n == 30 and (tasks - 1) * WARPS < p.n <= tasks * WARPS and n * tasks < 2**31 and tasks <= 65535
    assert tasks_of(p.n, 65) == tasks_of(2 * p.n, 64) == 8
    tile, _ = tile_of(p.mixing_size, 4)
    assert tile == 16  # a receiver's neighbours in two or three tiles
    features, messages, weights = (4 * n * k * channels for k in (p.dim_in, p.rows, p.n))
    candidates = edges * ((4.5 + 2.0) / 4.5) ** 3
    total = 4 * features + 3 * messages + 2 * weights + candidates * (4 * 3 + 24 + 8 + 4 * 9 + 4 * 5 + 4)
    assert 3e8 < total < 1e9
    assert p.rows * n * channels < 2**31


def test_no_tensor_of_the_host_meets_one_of_the_device(monkeypatch, make_architecture, make_network, make_system):
    """With torch's device without memory in place of a GPU: torch refuses operations between it and the host."""
    import torch
    from askel.equivariant import device

    launched, handed = [], []

    def kernel(name, backend):
        def launch(*given):
            launched.append((name, {a.device.type for a in given if isinstance(a, torch.Tensor)}))

        return {"network_device": lambda: "meta", "network_array": lambda array: array}.get(name, launch)

    monkeypatch.setattr(device, "resolve", kernel)
    monkeypatch.setattr(device.DeviceEdges, "closest", lambda self: (1.0, 0, 1))
    monkeypatch.setattr(device.Device, "host", lambda self, x: handed.append(x) or np.zeros(x.shape))
    architecture = make_architecture(parity="both", strides=(3.5, 7.0))
    engine = Engine(Model(architecture, make_network(architecture).arrays()), backend="cuda")
    s = make_system()
    engine.stride(s["species"], s["mass"], s["position"], s["velocity"], None, [False] * 3, 7.0, [0, 3, 8])
    assert [(x.device.type, x.dtype, tuple(x.shape)) for x in handed] == [("meta", torch.float64, (8, 3))] * 2
    assert {name for name, _ in launched} == {"near_counts", "near_edges", "table_places", "couple", "couple_tabulated"}
    assert len(launched) == 2 + 3 * architecture.layers and all(places == {"meta"} for _, places in launched)


@without_device
def test_without_a_device_it_is_one_line(make_architecture):
    architecture = make_architecture()
    model = Model(architecture, {name: np.ones(p.shape) for name, p in parameters(architecture).items()})
    with pytest.raises(InputError, match='found no CUDA device; use backend = "cpu"'):
        Engine(model, backend="cuda")
    with pytest.raises(InputError, match="backend is 'gpu'; expected one of 'cpu', 'reference', 'cuda'"):
        Engine(model, backend="gpu")


def test_without_torch_it_names_what_to_install(monkeypatch):
    from askel.equivariant.operations import operations

    monkeypatch.delitem(sys.modules, "askel.equivariant.device", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependency, match=r"torch is not installed.*askel\[ml\]"):
        operations("cuda", np.dtype("float32"))


@with_device
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-11)])
def test_a_device_gives_what_the_cpu_gives(make_architecture, make_network, make_system, dtype, tolerance):
    architecture = make_architecture(channels=64, parity="both")
    model = Model(architecture, make_network(architecture).arrays())
    engines = [Engine(model, dtype=dtype, backend=b) for b in ("cpu", "cuda")]
    s = make_system(n=500, periodic=True)
    x = s["position"]
    for _ in range(3):
        state = (s["species"], s["mass"], x, s["velocity"], s["cell"], s["periodic"], 7.0)
        cpu, cuda, again = (e.stride(*state) for e in (*engines, engines[1]))
        for mine, repeated, reference in zip(cuda, again, cpu, strict=True):
            assert np.abs(mine - reference).max() <= tolerance * np.abs(reference).max()
            assert np.array_equal(mine, repeated)
        x = x + 0.2 * cpu[0] / np.abs(cpu[0]).max()


@with_device
def test_training_on_a_device_gives_the_gradients_of_the_cpu(make_architecture, make_network, make_batch, make_system):
    import torch

    architecture = make_architecture(channels=32, parity="both")
    batch, gradients = make_batch(architecture, make_system(n=27), make_system(n=20, seed=1)), []
    for device in ("cpu", "cuda"):
        network = make_network(architecture).to(device)
        displacement, velocity = network(batch.to(device))
        (displacement.square().sum() + velocity.square().sum()).backward()
        gradients.append([w.grad.cpu() for w in network.weights.values() if w.grad is not None])
    for mine, reference in zip(gradients[1], gradients[0], strict=True):
        assert torch.allclose(mine, reference, rtol=1e-9, atol=1e-11 * float(reference.abs().max()))
