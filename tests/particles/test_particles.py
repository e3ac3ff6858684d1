import numpy as np
import pytest
from askel.particles import FIELDS, PARTICLE_FIELDS, UNIT_SYSTEMS, InputError, Particles, join
from hypothesis import given
from hypothesis import strategies as st


def make(n=4, units=UNIT_SYSTEMS["nbody"], **fields):
    rng = np.random.default_rng(n)
    values = {"mass": rng.random(n) + 0.1, "position": rng.normal(size=(n, 3)), "velocity": rng.normal(size=(n, 3))}
    return Particles(units=units, **(values | fields))


def everything(n=4, units=UNIT_SYSTEMS["galactic"]):
    rng = np.random.default_rng(1)
    return make(
        n, units, identity=np.arange(n) * 3 + 5, time=1.5, spin=rng.normal(size=(n, 3)), radius=rng.random(n),
        kind=np.arange(n) % 6, softening=rng.random(n), species=np.arange(n) + 1, cell=np.eye(3) * 7,
        periodic=[True, False, True],
    )  # fmt: skip


def same(a, b, rtol=0.0):
    assert [f.name for f in a.present()] == [f.name for f in b.present()]
    for name, value in a.to_dict().items():
        np.testing.assert_allclose(np.asarray(getattr(b, name)), np.asarray(value), rtol=rtol, atol=0, err_msg=name)


def test_arrays_are_used_without_a_copy_when_they_fit():
    position = np.zeros((2, 3))
    assert Particles([1, 1], position, np.zeros((2, 3))).position is position


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"position": np.zeros((4, 2))}, "position has shape"),
        ({"spin": np.zeros(4)}, "spin has shape"),
        ({"charge": np.zeros(4)}, "unknown field 'charge'"),
        ({"velocity": [["a"] * 3] * 4}, "velocity cannot be read"),
    ],
)
def test_wrong_shapes_and_names(fields, message):
    with pytest.raises(InputError, match=message):
        make(**fields)


@pytest.mark.parametrize(
    ("field", "row", "value", "message"),
    [
        ("position", (1, 2), np.nan, "position of particle 1 is not finite"),
        ("velocity", (3, 0), np.inf, "velocity of particle 3 is not finite"),
        ("mass", 2, -1.0, "mass of particle 2 is -1; masses must be positive"),
        ("mass", 0, 0.0, "mass of particle 0 is 0"),
        ("identity", 1, 0, "identity 0 is used twice"),
        ("identity", 1, -7, "identity -7 is negative"),
    ],
)
def test_check_refuses(field, row, value, message):
    state = make()
    state.check()
    getattr(state, field)[row] = value
    with pytest.raises(InputError, match=message):
        state.check()


def test_check_of_coincident_and_massless():
    state = make()
    state.position[3] = state.position[1]
    with pytest.raises(InputError, match="particles 1 and 3 are at the same position"):
        state.check()
    state.check(coincident=False)
    state.mass[:] = 0.0
    state.check(coincident=False, massless=True)


def test_clone_is_deep_and_copy_from_is_in_place():
    state = everything()
    copy = state.clone()
    same(state, copy)
    position = state.position
    state.position += 1.0
    state.time = 9.0
    assert not np.shares_memory(copy.position, state.position)
    state.copy_from(copy)
    same(state, copy)
    assert state.position is position
    with pytest.raises(InputError, match="size and fields"):
        state.copy_from(make())


def test_select_join_replace():
    state = everything(5)
    parts = [state.select([0, 3]), state.select(state.identity == 8)]
    both = join(parts)
    assert both.identity.tolist() == [5, 14, 8]
    np.testing.assert_array_equal(both.spin, state.spin[[0, 3, 1]])
    state.replace_with(both)
    assert state.n == 3 and state.spin is both.spin
    plain = make(2, UNIT_SYSTEMS["galactic"], identity=[90, 91], time=1.5)
    mixed = join([both, plain])
    assert mixed.kind[-1] == FIELDS["kind"].fill and mixed.n == 5
    with pytest.raises(InputError, match="same units"):
        join([both, make(2)])
    with pytest.raises(InputError, match="nothing"):
        join([])


@given(st.sampled_from(sorted(set(UNIT_SYSTEMS) - {"nbody"})), st.sampled_from(sorted(set(UNIT_SYSTEMS) - {"nbody"})))
def test_units_there_and_back(first, second):
    state = everything(units=UNIT_SYSTEMS[first])
    there = state.in_units(UNIT_SYSTEMS[second])
    same(state, there.in_units(UNIT_SYSTEMS[first]), rtol=1e-13)
    ratio = there.kinetic_energy() / state.kinetic_energy()
    assert ratio == pytest.approx(UNIT_SYSTEMS[first].conversion(UNIT_SYSTEMS[second], (2, 1, -2)), rel=1e-12)


def test_units_are_never_dropped():
    with pytest.raises(InputError, match="no physical scale"):
        everything().in_units(UNIT_SYSTEMS["nbody"])


def test_sums():
    state = Particles([1.0, 3.0], [[0, 0, 0], [4, 0, 0]], [[0, 2, 0], [0, 0, 0]])
    position, velocity = state.centre_of_mass()
    assert position.tolist() == [3, 0, 0] and velocity.tolist() == [0, 0.5, 0]
    assert state.kinetic_energy() == 2.0
    assert state.is_kind(0).tolist() == [False, False]
    assert "n=2" in repr(state) and len(state) == 2


@pytest.mark.parametrize("field", PARTICLE_FIELDS, ids=lambda f: f.name)
def test_table_declares_what_arrays_are(field):
    value = getattr(everything(), field.name)
    assert value.dtype == field.dtype and value.shape == (4, *field.shape) and value.flags.c_contiguous
    assert field.meaning and np.asarray(field.fill).astype(field.dtype).shape == ()


def test_softening_lengths_are_one_for_all_or_those_of_the_particles():
    own = Particles(np.ones(2), np.eye(3)[:2], np.zeros((2, 3)), softening=[0.1, 0.0])
    assert own.softening_lengths().tolist() == [0.1, 0.0]
    assert own.softening_lengths(0.3).tolist() == [0.3, 0.3]
    own.softening = None
    assert own.softening_lengths().tolist() == [0.0, 0.0] and own.softening_lengths(0.3).tolist() == [0.3, 0.3]
