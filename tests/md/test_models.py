"""Models by name and by path: what is shipped, what is found, what is said when nothing is."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from askel.equivariant.architecture import Architecture
from askel.equivariant.model_file import Model, load_model, save_model
from askel.equivariant.parameters import parameters
from askel.md import find_model, model_library, models, open_model
from askel.md.model_library import model_name, stride_of
from askel.md.stride import LearnedStride
from askel.particles import InputError

from askel import md

#: Bytes; what a shipped model may weigh.
LARGEST = 5_000_000


def small_model(head="stride", **card):
    """A network that is all zeros."""
    facts = (
        {"atom_energy": (0.0,)}
        if head == "energy"
        else {"strides": (2.0, 4.0), "velocity_scale": (0.01,)}
        | dict.fromkeys(("drift", "memory", "displacement_scale", "velocity_change_scale"), ((1.0,), (1.0,)))
    )
    a = Architecture(
        species=(29,), masses=(63.546,), cutoff=4.0, average_neighbours=8.0, head=head, l_max=1, channels=2, layers=1,
        radial_hidden=(4,), speed_hidden=(4,), **facts,
    )  # fmt: skip
    return Model(a, {name: np.zeros(p.shape) for name, p in parameters(a).items()}, card)


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A package folder of its own with two models."""
    folder = tmp_path / "models"
    folder.mkdir()
    save_model(folder / "copper-32fs.safetensors", small_model(data="EMT", name="copper"))
    save_model(folder / "copper-energy.safetensors", small_model("energy"))
    monkeypatch.setattr(model_library, "files", lambda _: tmp_path)
    return folder


def test_shipped_models_are_complete_and_small():
    for name, card in models().items():
        path = find_model(name)
        assert path.stat().st_size < LARGEST
        assert load_model(path).card
        assert card["head"] in ("stride", "energy") and card["species"]
        if card["head"] == "stride":
            assert f"{max(card['strides_fs']):g}fs" in name
    files = {p.name for p in (Path(md.__file__).parent / "models").glob("*.safetensors")}
    assert files == {f"{name}.safetensors" for name in models()}


def test_models_are_listed_with_what_they_were_made_for(library):
    found = models()
    assert list(found) == ["copper-32fs", "copper-energy"]
    assert found["copper-32fs"] == {
        "head": "stride", "species": [29], "masses": [63.546], "strides_fs": [2.0, 4.0], "cutoff": 4.0, "data": "EMT",
        "name": "copper",
    }  # fmt: skip
    assert found["copper-energy"]["strides_fs"] == []


def test_a_model_is_found_by_name_and_by_path(library, tmp_path):
    assert find_model("copper-32fs") == library / "copper-32fs.safetensors"
    own = tmp_path / "mine.safetensors"
    shutil.copy(library / "copper-32fs.safetensors", own)
    for way in (own, str(own)):
        assert find_model(way) == own
        assert open_model(way).card["data"] == "EMT"
    assert model_name(own) == "mine"
    model = small_model(name="x")
    assert open_model(model) is model
    assert model_name(model) == "x" and model_name(small_model()) == "the model"


def test_strides_come_from_models_and_engines(library):
    one = stride_of("copper-32fs", "float64")
    assert isinstance(one, LearnedStride)
    assert (one.name, len(one.capabilities.strides), one.engine.dtype) == ("copper-32fs", 2, np.float64)
    assert stride_of(one) is one
    assert stride_of(one.engine).engine is one.engine
    with pytest.raises(InputError, match="copper-energy has the head 'energy'"):
        stride_of("copper-energy")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            "copper-33fs",
            r"no model 'copper-33fs': neither a file .*copper-32fs, copper-energy.*did you mean 'copper-32fs'",
        ),
        ("gold", r"no model 'gold': neither a file nor a shipped model \(copper-32fs, copper-energy\)$"),
        ("/nowhere/a.safetensors", "no model '/nowhere/a.safetensors'"),
    ],
)
def test_what_is_not_there_is_named(library, asked, said):
    with pytest.raises(InputError, match=said) as caught:
        find_model(asked)
    assert "\n" not in str(caught.value)


def test_a_damaged_model_is_refused(library):
    path = library / "copper-32fs.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"copper-32fs\.safetensors"):
        open_model("copper-32fs")


def test_public_names_resolve_and_models_is_a_function():
    for name in md.__all__:
        assert getattr(md, name) is not None
    assert callable(md.models)
    assert set(md.__all__) <= set(dir(md))
    with pytest.raises(AttributeError):
        md.no_such_name  # noqa: B018 - asked for on purpose
