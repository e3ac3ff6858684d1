"""Descriptions of networks: what is accepted, round trips, and one line for everything else."""

import json
import math

import numpy as np
import pytest
from askel.equivariant import Architecture
from askel.equivariant.parameters import layer_irreps, parameters
from askel.particles import InputError

#: entry -> values that no network can have
WRONG = {
    "species": [(), (6, 1), (1, 1), (0, 1), (-1, 6), (1.5, 6), ("H", "C"), 6, None, "HC"],
    "masses": [
        (),
        (1.0,),
        (1.0, 12.0, 16.0),
        (0.0, 12.0),
        (-1.0, 12.0),
        (math.nan, 12.0),
        (math.inf, 12.0),
        "ab",
        None,
        {"a": 1, "b": 2},
    ],
    "cutoff": [0.0, -1.0, math.nan, math.inf, "4", None, True, (4.0,)],
    "average_neighbours": [0.0, -1.0, math.nan, math.inf, "4", None],
    "strides": [(), (0.0,), (-1.0,), (math.nan,), (math.inf,), (5.0, 5.0), (7.0, 5.0), "7", 7.0, (7.0, 9.0), None],
    "head": ["forces", "", None, 1, ["stride"]],
    "l_max": [0, 4, -1, 2.0, 1.5, "2", None, True, 10**9, math.nan],
    "parity": ["odd", "", None, 1],
    "channels": [0, -4, 4.0, 1.5, "4", None, 10**9, math.nan],
    "layers": [0, -1, 2.0, "2", None, 10**9],
    "radial_functions": [0, 8.0, "8", None, 10**9],
    "cutoff_power": [0, -6, 6.0, "6", None, 10**9],
    "radial_hidden": [(0,), (-8,), (8.0,), ("8",), 8, None, "8", (8, None), (10**9,), (8,) * 1000],
    "speed_functions": [0, 5.0, "5", None, 10**9],
    "speed_basis": ["odd", "", None, 1],
    "speed_limit": [0.0, -1.0, math.nan, math.inf, "5", None],
    "speed_hidden": [(0,), (6.0,), ("6",), 6, None, (10**9,)],
    "velocity_scale": [(), (0.02,), (0.0, 0.01), (-0.02, 0.01), (math.nan, 0.01), (math.inf, 0.01), "ab", None],
    "drift": [
        (),
        ((1.0,),),
        ((1.0, 1.0), (1.0, 1.0)),
        ((math.nan, 1.0),),
        ((math.inf, 1.0),),
        "a",
        None,
        ("ab",),
        (1.0, 1.0),
    ],
    "memory": [(), ((1.0,),), ((math.nan, 1.0),), None, (("a", "b"),)],
    "displacement_scale": [(), ((1.0,),), ((math.nan, 1.0),), ((-1.0, 1.0),), None],
    "velocity_change_scale": [(), ((1.0,),), ((math.inf, 1.0),), ((-1.0, 1.0),), None],
}
WRONG_ENERGY = {
    "atom_energy": [(), (1.0,), (math.nan, 1.0), (math.inf, 1.0), "ab", None],
    "energy_scale": [0.0, -1.0, math.nan, math.inf, "1", None],
}
CASES = [("stride", k, v) for k, values in WRONG.items() for v in values]
CASES += [("energy", k, v) for k, values in WRONG_ENERGY.items() for v in values]


@pytest.fixture
def make(make_architecture):
    table = ((1.0, 0.8),)
    own = {"species": (1, 6), "masses": (1.008, 12.011)}
    heads = {
        "stride": {
            "velocity_scale": (0.02, 0.01),
            **dict.fromkeys(("drift", "memory", "displacement_scale", "velocity_change_scale"), table),
        },
        "energy": {"atom_energy": (-1.0, -2.0)},
    }
    return lambda head="stride", **changes: make_architecture(head, **own | heads[head] | changes)


@pytest.mark.parametrize("head", ["stride", "energy"])
@pytest.mark.parametrize("parity", ["natural", "both"])
def test_round_trip(make, head, parity):
    a = make(head, parity=parity, cutoff=np.pi)
    again = Architecture.from_json(json.loads(json.dumps(a.to_json())))
    assert again == a and hash(again) == hash(a)
    assert Architecture.from_json(a.to_json() | {"cutoff": 3.0}) != a


@pytest.mark.parametrize(("head", "name", "value"), CASES, ids=lambda v: repr(v)[:30])
def test_values_no_network_can_have(make, head, name, value):
    """One line, that names the entry."""
    good = make(head).to_json()
    with pytest.raises(InputError) as caught:
        Architecture.from_json(good | {name: value})
    message = str(caught.value)
    assert "\n" not in message and len(message) < 300
    assert name in message


def test_values_are_checked_in_the_constructor_too(make):
    with pytest.raises(InputError, match="layers"):
        make(layers=0)
    with pytest.raises(InputError, match="masses"):
        make(masses=(1.0, -12.0))


def test_unknown_and_missing_entries(make):
    good = make().to_json()
    with pytest.raises(InputError, match="unknown entry 'flavour'"):
        Architecture.from_json(good | {"flavour": 1})
    for name in ("species", "masses", "cutoff", "average_neighbours"):
        with pytest.raises(InputError, match=name):
            Architecture.from_json({k: v for k, v in good.items() if k != name})


@pytest.mark.parametrize("values", [[], "text", None, 7])
def test_what_is_no_table(values):
    with pytest.raises(InputError):
        Architecture.from_json(values)


def test_strides_and_species_are_looked_up(make):
    a = make(
        strides=(5.0, 7.0),
        **dict.fromkeys(("drift", "memory", "displacement_scale", "velocity_change_scale"), ((1.0, 1.0),) * 2),
    )
    assert [a.stride_index(h) for h in (5.0, 7.0 * (1.0 + 1e-9))] == [0, 1]
    with pytest.raises(InputError, match=r"a stride of 6 fs: this model was made for 5, 7 fs"):
        a.stride_index(6.0)
    assert a.species_index([6, 1, 6]).tolist() == [1, 0, 1]
    assert a.species_index([]).tolist() == []
    for unknown in (8, 0, 99):
        with pytest.raises(InputError, match=rf"species {unknown} .*this model knows 1, 6"):
            a.species_index([1, unknown])


def test_size_of_the_published_network():
    """64 channels, both parities, 4 layers, three hidden layers of 64: 2.3 to 2.4 million weights in the original."""
    a = Architecture(
        species=(1, 6, 7, 8), masses=(1.0, 12.0, 14.0, 16.0), cutoff=4.0, average_neighbours=10.5, strides=(7.0,), l_max=2,
        parity="both", channels=64, layers=4, radial_hidden=(64, 64, 64), velocity_scale=(1.0,) * 4, drift=((1.0,) * 4,),
        memory=((1.0,) * 4,), displacement_scale=((1.0,) * 4,), velocity_change_scale=((1.0,) * 4,),
    )  # fmt: skip
    weights = sum(math.prod(p.shape) for p in parameters(a).values())
    assert 1.5e6 < weights < 3.5e6
    assert [len(kinds) for kinds in layer_irreps(a, 0)] == [3, 5, 6]


@pytest.mark.parametrize("head", ["stride", "energy"])
@pytest.mark.parametrize("parity", ["natural", "both"])
def test_kinds_grow_from_layer_to_layer(make, head, parity):
    a = make(head, parity=parity, layers=3)
    for t in range(3):
        before, middle, after = layer_irreps(a, t)
        assert set(after) <= set(a.irreps) and set(middle) <= set(a.irreps)
        assert after[0] == (0, 1)
        if t:
            assert before == layer_irreps(a, t - 1)[2]
