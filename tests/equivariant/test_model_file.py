"""Model files: what is written is read, bit by bit; anything else gives one line, and nothing in a file is executed."""

import json
import pickle
import struct

import numpy as np
import pytest
from askel.equivariant import Model, load_model, save_model
from askel.equivariant.parameters import parameters
from askel.particles import InputError
from safetensors.numpy import save_file


@pytest.fixture
def model(make_architecture):
    rng = np.random.default_rng(0)
    a = make_architecture()
    weights = {k: rng.normal(size=p.shape).astype(np.float32) for k, p in parameters(a).items()}
    return Model(a, weights, {"data": "a test", "metrics": {"loss": [1.0, 0.5]}, "shortest_pair": 0.9})


@pytest.fixture
def path(tmp_path, model):
    save_model(tmp_path / "model.safetensors", model)
    return tmp_path / "model.safetensors"


def parts(path):
    """Return the header as a dictionary, and the bytes behind it."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def put(path, header, body):
    text = json.dumps(header).encode() if isinstance(header, dict) else header
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def with_facts(path, **changes):
    header, body = parts(path)
    header["__metadata__"] |= changes
    put(path, header, body)


def with_architecture(path, **changes):
    header, _ = parts(path)
    facts = json.loads(header["__metadata__"]["header"])
    facts["architecture"] |= changes
    with_facts(path, header=json.dumps(facts))


def refused(path, pattern):
    with pytest.raises(InputError, match=pattern) as caught:
        load_model(path)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 300 + len(str(path))
    assert message.count(str(path)) == 1, message
    return message


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_round_trip(tmp_path, model, dtype):
    weights = {k: w.astype(dtype) for k, w in model.weights.items()}
    save_model(tmp_path / "m.safetensors", Model(model.architecture, weights, model.card))
    again = load_model(str(tmp_path / "m.safetensors"))
    assert again.architecture == model.architecture and again.card == model.card
    assert set(again.weights) == set(weights)
    for name, w in weights.items():
        assert again.weights[name].dtype == dtype and again.weights[name].tobytes() == w.tobytes(), name
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]  # no temporary file is left


def test_the_same_model_is_the_same_bytes(tmp_path, model):
    """The library orders the entries of the metadata at random."""
    turned = Model(model.architecture, dict(reversed(model.weights.items())), dict(reversed(model.card.items())))
    for k in range(6):
        save_model(tmp_path / str(k), (model, turned)[k % 2])
    assert len({(tmp_path / str(k)).read_bytes() for k in range(6)}) == 1


def test_files_older_than_the_choice_keep_their_plain_gaussians(path, model):
    assert model.architecture.speed_basis == load_model(path).architecture.speed_basis == "even"
    header, _ = parts(path)
    facts = json.loads(header["__metadata__"]["header"])
    del facts["architecture"]["speed_basis"]
    with_facts(path, header=json.dumps(facts))
    assert load_model(path).architecture.speed_basis == "plain"


def test_strided_weights_are_written_as_they_are(tmp_path, model):
    turned = {k: np.asfortranarray(w) for k, w in model.weights.items()}
    save_model(tmp_path / "m", Model(model.architecture, turned, {}))
    again = load_model(tmp_path / "m")
    assert all(np.array_equal(again.weights[k], w) for k, w in model.weights.items())


def test_network_gives_the_same_after_a_round_trip(tmp_path, make_architecture, make_network, make_batch, make_system):
    from askel.equivariant import Network

    a = make_architecture(parity="both")
    network, batch = make_network(a), make_batch(a, make_system(6))
    save_model(tmp_path / "m", Model(a, network.arrays()))
    again = Network(a, seed=9).load(load_model(tmp_path / "m").weights)
    assert all((x == y).all() for x, y in zip(network(batch), again(batch), strict=True))


def test_no_file(tmp_path):
    refused(tmp_path / "nothing.safetensors", "No such file")
    refused(tmp_path, "cannot read the model|not a model file")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00",
        b"hello, I am a text\n",
        pickle.dumps({"weights": np.zeros(4)}),
        b"\xff" * 4000,
        b"PK\x03\x04" + bytes(100),
    ],
    ids=["empty", "one byte", "text", "pickle", "ones", "zip"],
)
def test_other_files(path, content):
    path.write_bytes(content)
    refused(path, "not a model file")


def test_a_pickle_is_not_executed(path, tmp_path):
    class Bad:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    path.write_bytes(pickle.dumps(Bad()))
    refused(path, "not a model file")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.999])
def test_truncated(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    refused(path, "not a model file, or is damaged")


def test_flipped_bits_of_the_header(path):
    """Whatever one bit of the header does: a model is read, or one line is said."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    rng, outcomes = np.random.default_rng(0), {"read": 0, "refused": 0}
    for bit in (*range(0, 64, 7), *rng.integers(64, 8 * (8 + size), 300)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(changed)
        try:
            load_model(path)
            outcomes["read"] += 1
        except InputError as error:
            assert "\n" not in str(error)
            outcomes["refused"] += 1
    assert outcomes["refused"] > 100, outcomes


def test_tensors_of_others(path):
    save_file({"weight": np.zeros((3, 4), np.float32)}, path)
    assert refused(path, "holds tensors, but is not a model of askel").startswith(f"{path} holds")
    save_file({"weight": np.zeros(3, np.float32)}, path, metadata={"format": "pt"})
    refused(path, "holds tensors, but is not a model of askel")


@pytest.mark.parametrize("version", ["2", "17", "", "1.5", "-1", "new", "²", "9" * 5000])
def test_other_versions(path, version):
    with_facts(path, version=version)
    assert refused(path, "of version .* reads up to 1: update askel").startswith(f"{path} is a model of version")


@pytest.mark.parametrize(
    "header",
    ["", "{", "[]", "7", '"/etc/x"', "{}", '{"architecture": "/etc/passwd"}', '{"architecture": []}', "[" * 100_000,
     '{"architecture": {}}', '{"architecture": null, "card": 1}', '{"a": ' * 5000 + "1" + "}" * 5000],
    ids=lambda h: h[:20],
)  # fmt: skip
def test_headers_that_describe_nothing(path, header):
    with_facts(path, header=header)
    refused(path, "damaged header|architecture")


@pytest.mark.parametrize("card", ["/etc/passwd", [1, 2], None, 7])
def test_cards_that_are_no_tables(path, card):
    header, _ = parts(path)
    facts = json.loads(header["__metadata__"]["header"])
    with_facts(path, header=json.dumps(facts | {"card": card}))
    refused(path, "damaged header|card")


@pytest.mark.parametrize(
    "changes",
    [{"species": "/etc/passwd"}, {"layers": 10**9}, {"channels": 10**12}, {"radial_hidden": [8] * 100_000}, {"l_max": 2.0},
     {"masses": {"1": 1.0, "6": 2.0, "8": 3.0}}, {"cutoff": "../../model"}, {"velocity_scale": [float("nan")] * 3},
     {"channels": 8}, {"head": "energy"}, {"species": [1, 6, 8, 9]}, {"flavour": "strange"},
     {"species": [10**30, 10**31, 10**32]}],
    ids=lambda c: str(c)[:30],
)  # fmt: skip
def test_architectures_that_do_not_fit(path, changes):
    with_architecture(path, **changes)
    refused(path, ".")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite(path, model, bad):
    weights = {k: w.copy() for k, w in model.weights.items()}
    weights["readout"].flat[3] = bad
    with pytest.raises(InputError, match="readout has values that are not finite"):
        save_model(path, Model(model.architecture, weights))
    facts, _ = parts(path)
    save_file(weights, path, metadata=facts["__metadata__"])
    refused(path, "readout has values that are not finite")


@pytest.mark.parametrize("change", ["shape", "missing", "more", "integers", "half"])
def test_weights_that_do_not_fit(path, model, change):
    weights = dict(model.weights)
    if change == "missing":
        del weights["readout"]
    elif change == "more":
        weights["a"] = np.zeros(3, np.float32)
    else:
        weights["readout"] = {
            "shape": weights["readout"][:, :-1], "integers": weights["readout"].astype(np.int64),
            "half": weights["readout"].astype(np.float16),
        }[change].copy()  # fmt: skip
    with pytest.raises(InputError, match=r"readout|'a'"):
        save_model(path, Model(model.architecture, weights))
    facts, _ = parts(path)
    save_file(weights, path, metadata=facts["__metadata__"])
    refused(path, "readout|'a'")


def test_failed_writes_leave_the_old_model(path, model):
    before = path.read_bytes()
    with pytest.raises(InputError):
        save_model(path, Model(model.architecture, {}))
    with pytest.raises(InputError, match="card"):
        save_model(path, Model(model.architecture, model.weights, {"when": object()}))
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_places_where_nothing_can_be_written(tmp_path, model):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "no" / "folder", tmp_path / "file" / "model", tmp_path):
        with pytest.raises(InputError, match="cannot write the model") as caught:
            save_model(place, model)
        assert "\n" not in str(caught.value)
