import numpy as np
import pytest
from askel.particles import UNIT_SYSTEMS, InputError, Particles, nbody_units
from askel.particles.files import convert, frames, info, read, write
from hypothesis import given, settings
from hypothesis import strategies as st

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
ROWS = st.lists(st.tuples(*[NUMBERS] * 7), min_size=1, max_size=5)
UNITS = st.sampled_from(
    [UNIT_SYSTEMS["galactic"], UNIT_SYSTEMS["ase"], nbody_units(), nbody_units(speed_of_light=0.1 + 0.2)]
)


def from_rows(rows, units, time=0.0, **fields):
    table = np.array(rows)
    return Particles(table[:, 0], table[:, 1:4], table[:, 4:], units=units, time=time, **fields)


def same(a, b):
    assert a.units == b.units and a.time == b.time
    for name, value in b.to_dict().items():
        np.testing.assert_array_equal(getattr(a, name), value, err_msg=name)


@settings(max_examples=40, deadline=None)
@given(ROWS, UNITS, NUMBERS, st.sampled_from(["b.txt", "b.dat", "b.csv", "b"]))
def test_every_bit_comes_back(tmp_path_factory, rows, units, time, name):
    path = tmp_path_factory.mktemp("text") / name
    state = from_rows(rows, units, time)
    write(path if path.suffix else path.with_suffix(".txt"), state)
    if not path.suffix:
        path.with_suffix(".txt").rename(path)  # found by its content
    same(state, read(path))


def test_one_body_below_comments_is_found_by_its_content(tmp_path):
    (tmp_path / "b").write_text("# units: nbody\n# a comment\n1 0 0 0 0 0 0")
    assert read(tmp_path / "b").n == 1


def test_a_file_by_hand(tmp_path):
    path = tmp_path / "bodies.txt"
    path.write_text("# Pythagorean\n\n3 1 3 0 0 0 0  # the first\n4\t-2 -1 0  0 0 0\n5 1 -1 0 0 0 -.5e-3\n")
    state = read(path, units=nbody_units())
    assert state.mass.tolist() == [3, 4, 5] and state.velocity[2, 2] == -5e-4 and state.identity.tolist() == [0, 1, 2]
    assert read(path, units=UNIT_SYSTEMS["galactic"]).units.name == "galactic"
    assert info(path)["units"] is None and info(path)["format"] == "text" and info(path)["particles"] == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 3\n", r"b.txt, line 1: 3 numbers; expected 7: m x y z vx vy vz"),
        ("# ok\n1 0 0 0 0 0 0\n1 0 0 x 0 0 0\n", r"line 3: 'x' is not a number"),
        ("# nothing\n", "holds no bodies"),
        ("1 0 0 0 0 0 0\n", "does not say its units; add a line such as '# units: nbody'"),
        ("# units: parsecs\n1 0 0 0 0 0 0\n", "unknown units 'parsecs'; known: nbody, galactic"),
        ("# units: nbody\n# time: noon\n1 0 0 0 0 0 0\n", "'noon' is not a number"),
        ("", "is empty"),
        ("\ufffe\0\n", "b.txt"),
    ],
)
def test_bad_text(tmp_path, text, message):
    path = tmp_path / "b.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_units_said_and_asked_are_converted(tmp_path):
    path = tmp_path / "b.txt"
    path.write_text("# units: galactic\n1 1 0 0 0 0 0\n")
    assert read(path, units=UNIT_SYSTEMS["pc-msun-kms"]).position[0, 0] == pytest.approx(1000.0, rel=1e-15)
    with pytest.raises(InputError, match="no physical scale"):
        read(path, units=nbody_units())


def everything(n, time):
    rng = np.random.default_rng(n)
    return Particles(
        rng.random(n), rng.normal(size=(n, 3)), rng.normal(size=(n, 3)), identity=np.arange(n) + 4, time=time,
        spin=rng.normal(size=(n, 3)), radius=rng.random(n), kind=np.arange(n) % 3, softening=rng.random(n),
        species=np.arange(n), units=UNIT_SYSTEMS["au-msun-yr"],
    )  # fmt: skip


def test_csv_holds_all_frames_and_fields(tmp_path):
    states = [everything(3, 0.1), everything(2, 0.2), everything(4, 0.2)]
    for k, state in enumerate(states):
        write(tmp_path / f"{k}.h5md", state)
    from askel.particles.io_csv import write_states

    path = tmp_path / "t.csv"
    assert write_states(path, states) == 3
    for state, found in zip(states, frames(path), strict=True):
        same(state, found)
    same(states[1], read(path, 1))
    same(states[2], read(path))
    assert convert(path, tmp_path / "t.h5md") == 3
    same(states[2], read(tmp_path / "t.h5md"))
    facts = info(path)
    assert facts["frames"] == 3 and facts["particles"] == 4 and facts["time"] == {"first": 0.1, "last": 0.2}
    assert path.read_text().splitlines()[4].startswith("frame,time,id,mass,x,y,z,vx,vy,vz,spin_x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mass,x,y,z,vx,vy,vz\n1,2,3\n", "line 2: 3 cells; the header has 7 columns"),
        ("mass,x,y,z,vx,vy,vz\n1,2,3,a,0,0,0\n", "line 2: 'a' is not a number"),
        ("mass,x,y,z,vx,vy\n1,0,0,0,0,0\n", "no column 'vz'"),
        ("mass,x,y,z,vx,vy,vz,radus\n1,0,0,0,0,0,0,0\n", "unknown column 'radus'; did you mean radius"),
        ("mass,x,x,y,z,vx,vy,vz\n1,0,0,0,0,0,0,0\n", "twice the column 'x'"),
        ("mass,x,y,z,vx,vy,vz\n", "holds no particles"),
        ("mass,x,y,z,vx,vy,vz\n1,0,0,0,0,0,0\n", "does not say its units"),
    ],
)
def test_bad_csv(tmp_path, text, message):
    path = tmp_path / "b.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["b.txt", "b.csv"])
def test_frames_that_are_not_there(tmp_path, name):
    write(tmp_path / name, everything(2, 0.0))
    assert read(tmp_path / name, -1).n == read(tmp_path / name, 0).n == 2
    for frame in (1, -2):
        with pytest.raises(InputError, match=f"has 1 frame; there is no frame {frame}"):
            read(tmp_path / name, frame)
