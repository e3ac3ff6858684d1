"""GADGET-style HDF5 snapshots, in and out, as pynbody and yt read them without arguments.

Written in kpc, 1e10 Msun, km/s, because yt assumes these. Stars are PartType4, black holes PartType5, dark matter
PartType1, gas PartType0; anything else goes with the stars, and its kind into the data set ``AskelKind``.

Read are snapshots in one file or in several (give any of them), masses from MassTable too. Velocities are taken as they
stand: the factor sqrt(a) belongs to cosmological snapshots, which are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .fields import FIELDS, KINDS, Field
from .io_h5md_units import read_own_units, write_units
from .io_hdf5 import (
    SIGNATURE,
    attribute,
    check_rows,
    dataset,
    label,
    number_attribute,
    open_hdf5,
    read_values,
    reading,
    subgroup,
)
from .io_text import check_frame
from .io_virtual import Parts
from .particles import Particles, join
from .units import UNITS, UnitSystem

MANY_FRAMES = False
_KPC, _MSUN, _GYR = UNITS["kpc"][0], UNITS["Msun"][0], UNITS["Gyr"][0]

#: What is written, and what files that do not say their units are taken to be in.
GADGET_UNITS = UnitSystem("gadget", _KPC, 1e10 * _MSUN, _KPC / 1e3)

#: kind -> particle type; the others are type 4.
_TYPE_OF_KIND = {KINDS["gas"]: 0, KINDS["dark-matter"]: 1, KINDS["star"]: 4, KINDS["black-hole"]: 5}
_KIND_OF_TYPE = {0: KINDS["gas"], 1: KINDS["dark-matter"], 2: KINDS["star"], 3: KINDS["star"], 4: KINDS["star"], 5: 1}
_TYPES = 6

#: (data set, field, powers of the scale factor and of h: what pynbody wants beside the numbers)
_DATASETS: tuple[tuple[str, str], ...] = (
    ("Coordinates", "position"),
    ("Velocities", "velocity"),
    ("Masses", "mass"),
    ("ParticleIDs", "identity"),
    ("Spin", "spin"),
    ("BodyRadius", "radius"),
    ("Softening", "softening"),
    ("AtomicNumber", "species"),
    ("AskelKind", "kind"),
)


def sniff(path: Path, head: bytes) -> bool:
    """Return whether it is HDF5 with a GADGET header."""
    if not head.startswith(SIGNATURE):
        return False
    with open_hdf5(path) as h5, reading(path):
        return subgroup(h5, "Header") is not None and any(subgroup(h5, f"PartType{k}") for k in range(_TYPES))


def write_states(path: Path, frames: Iterable[Particles]) -> int:
    """Write one state; return 1.

    Raises
    ------
    InputError : N-body units without a physical scale

    """
    (state,) = frames
    refuse_scale_free(state)
    with h5py.File(path, "w") as h5:
        write_view(h5, state)
    return 1


def refuse_scale_free(state: Particles) -> None:
    """Raise InputError when the units have no physical scale: GADGET readers would take the numbers for kpc and Msun."""
    if not state.units.physical:
        raise InputError(
            "these N-body units have no physical scale, which GADGET files need; "
            'name one in [units] (length = "1 pc", mass = "1e6 Msun"), or write CSV'
        )


def write_view(h5: h5py.File, state: Particles) -> None:
    """Write a GADGET snapshot of a state into an open file, replacing one that is there."""
    refuse_scale_free(state)
    for name in ("Header", "Parameters", *(f"PartType{k}" for k in range(_TYPES))):
        if name in h5:
            del h5[name]
    snapshot = state.in_units(GADGET_UNITS)
    types = _types(snapshot)
    counts = np.bincount(types, minlength=_TYPES)
    _write_header(h5, snapshot, counts, state.units)
    for k in np.flatnonzero(counts):
        group = h5.create_group(f"PartType{k}")
        picked = snapshot.select(types == k)
        for name, field_name in _DATASETS:
            value = getattr(picked, field_name)
            if value is not None:
                _write_dataset(group, name, FIELDS[field_name], value)


def _types(state: Particles) -> NDArray[np.int64]:
    if state.kind is None:
        return np.full(state.n, 4)
    return np.array([_TYPE_OF_KIND.get(int(k), 4) for k in state.kind], dtype=np.int64)


def _write_header(h5: h5py.File, state: Particles, counts: NDArray, original: UnitSystem) -> None:
    extent = float(np.abs(state.position).max(initial=0.0)) * 2.0
    age = state.time * GADGET_UNITS.factor((0, 0, 1)) / _GYR
    header = h5.create_group("Header")
    header.attrs.update({
        "NumPart_ThisFile": counts.astype(np.uint32), "NumPart_Total": counts.astype(np.uint32),
        "NumPart_Total_HighWord": np.zeros(_TYPES, np.uint32), "MassTable": np.zeros(_TYPES),
        "Time": state.time, "Time_GYR": age, "Redshift": 0.0, "BoxSize": np.nextafter(extent, np.inf) or 1.0,
        "NumFilesPerSnapshot": 1, "Omega0": 0.0, "OmegaLambda": 0.0, "HubbleParam": 1.0,
        **{f"Flag_{name}": 0 for name in ("Sfr", "Cooling", "StellarAge", "Metals", "Feedback", "DoublePrecision")},
    })  # fmt: skip
    header.attrs["Flag_DoublePrecision"] = 1
    parameters = h5.create_group("Parameters")
    parameters.attrs.update({
        "UnitLength_in_cm": _KPC * 1e2, "UnitMass_in_g": 1e10 * _MSUN * 1e3, "UnitVelocity_in_cm_per_s": 1e5,
        "HubbleParam": 1.0, "Time_GYR": age, "ComovingIntegrationOn": 0,
    })  # fmt: skip
    write_units(parameters.create_group("askel"), original)


def _write_dataset(group: h5py.Group, name: str, field: Field, value: NDArray) -> None:
    data = group.create_dataset(name, data=value.astype(np.uint64) if name == "ParticleIDs" else value, fletcher32=True)
    length, mass, time = field.dimension
    cgs = (_KPC * 1e2) ** length * (1e10 * _MSUN * 1e3) ** mass * (_KPC / 1e3) ** time
    data.attrs.update(
        {
            "a_scaling": 0.0,
            "h_scaling": 0.0,
            "length_scaling": float(length + time),
            "mass_scaling": float(mass),
            "velocity_scaling": float(-time),
            "to_cgs": cgs,
        }
    )


# ---------------------------------------------------------------------- reading


def states(path: Path, frame: int | None, units: UnitSystem | None) -> Iterator[Particles]:
    """Yield the state of a snapshot, in the units it was written from (other programs' files: in theirs).

    Raises
    ------
    InputError : not a snapshot, one of several files of which some are missing, cosmological, damaged

    """
    check_frame(path, frame, 1)
    yield _in_order(_read(path, 0, 1))


def stretch(path: Path, frame: int | None, k: int, of: int) -> Particles:
    """Return the k-th of so many parts of about equal size, in the order of the files; see ``states``."""
    check_frame(path, frame, 1)
    return _read(path, k, of)


def _read(path: Path, k: int, of: int) -> Particles:
    found: list[Particles] = []
    groups = _groups(path)
    ends = np.cumsum([0, *(n for _, _, n in groups)])
    low, high = (int(ends[-1]) * i // of for i in (k, k + 1))
    for (file, kind, _), start, stop in zip(groups, ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        first, last = max(low, start), min(high, stop)
        if first < last or (low == high and not found):  # an empty stretch has the fields of the first group
            found.append(_part(file, kind, slice(first - start, max(first, last) - start)))
    with open_hdf5(path) as h5, reading(path):
        wanted = _units(h5, _header(path, h5))[1]
    return join(found).in_units(wanted)


def _groups(path: Path) -> list[tuple[Path, int, int]]:
    """Return (file, type, number of particles) of all that a snapshot holds."""
    found, promised = [], None
    for file in _files(path):
        with open_hdf5(file) as h5, reading(file):
            header = _header(file, h5)
            _refuse_cosmology(file, header)
            promised = _total(header)
            for kind in range(_TYPES):
                positions = dataset(h5, f"PartType{kind}/Coordinates") if f"PartType{kind}" in h5 else None
                if positions is not None and len(positions):
                    found.append((file, kind, check_rows(positions)))
    if not found:
        raise InputError(f"{path} holds no particles")
    counted = np.zeros(_TYPES, np.int64)
    np.add.at(counted, [kind for _, kind, _ in found], [n for _, _, n in found])
    if promised is not None and (promised != counted).any():
        raise InputError(
            f"{path} promises {promised.tolist()} particles of the six types, "
            f"its files hold {counted.tolist()}; a part is missing"
        )
    return found


def _header(file: Path, h5: h5py.File) -> h5py.Group:
    header = subgroup(h5, "Header")
    if header is None:
        raise InputError(f"{file} is HDF5 but neither H5MD nor GADGET (it has no Header)")
    return header


def _files(path: Path) -> list[Path]:
    """Return all files of the snapshot that a file belongs to: snapshot.0.hdf5, snapshot.1.hdf5, ...

    Raises
    ------
    InputError : a file that says it is one of several and has no number in its name, or others that are not there

    """
    with open_hdf5(path) as h5, reading(path):
        header = subgroup(h5, "Header")
        several = int(number_attribute(header, "NumFilesPerSnapshot") or 1) if header is not None else 1
    if several <= 1:
        return [path]
    stem, dot, number = path.stem.rpartition(".")
    if not dot or not number.isdigit():
        raise InputError(
            f"{path} is one of {several} files of a snapshot; give one by its number, such as snapshot.0.hdf5"
        )
    files = [path.with_name(f"{stem}.{k}{path.suffix}") for k in range(several)]
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise InputError(f"{path} is one of {several} files of a snapshot, and {missing[0].name} is not beside it")
    return files


def _total(header: h5py.Group) -> NDArray[np.int64] | None:
    """Return the numbers of particles in all files of a snapshot (6,), or None where the header does not say."""
    low, high = np.asarray(attribute(header, "NumPart_Total")), np.asarray(attribute(header, "NumPart_Total_HighWord"))
    if low.shape != (_TYPES,) or low.dtype.kind not in "iu" or not low.any():
        return None
    more = high.astype(np.int64) << 32 if high.shape == (_TYPES,) and high.dtype.kind in "iu" else 0
    return low.astype(np.int64) + more


def _in_order(state: Particles) -> Particles:
    return state.select(np.argsort(state.identity, kind="stable"))


def _refuse_cosmology(path: Path, header: h5py.Group) -> None:
    h, z = number_attribute(header, "HubbleParam") or 1.0, number_attribute(header, "Redshift") or 0.0
    if h != 1.0 or z != 0.0:
        raise InputError(f"{path} is cosmological (h = {h:g}, z = {z:g}); convert it to physical units first")


def _units(h5: h5py.File, header: h5py.Group) -> tuple[UnitSystem, UnitSystem]:
    parameters = subgroup(h5, "Parameters")
    for group in (parameters, header, subgroup(h5, "Units")):
        if group is None:
            continue
        sizes = [number_attribute(group, n) for n in ("UnitLength_in_cm", "UnitMass_in_g", "UnitVelocity_in_cm_per_s")]
        if sizes[0] and sizes[1] and sizes[2]:
            length, mass = sizes[0] * 1e-2, sizes[1] * 1e-3
            numbers = UnitSystem("gadget", length, mass, length / (sizes[2] * 1e-2))
            own = subgroup(group, "askel")
            return (GADGET_UNITS, read_own_units(own)[1]) if own is not None else (numbers, numbers)
    return GADGET_UNITS, GADGET_UNITS


def _part(file: Path, kind: int, rows: slice) -> Particles:
    """Return some particles of one type in one file, in its units."""
    with open_hdf5(file) as h5, reading(file), closing(Parts(file)) as parts:
        header, group = _header(file, h5), h5[f"PartType{kind}"]
        values: dict[str, Any] = {}
        held, n = len(group["Coordinates"]), rows.stop - rows.start
        for name, field_name in _DATASETS:
            data, field = dataset(group, name), FIELDS[field_name]
            if data is not None:
                if data.shape != (held, *field.shape):
                    raise InputError(f"{label(data)} has shape {data.shape}; expected {(held, *field.shape)}")
                parts.check(data)
                count = data.size // held * n
                values[field_name] = read_values(data, rows, count=count, parts=parts).astype(field.dtype)
        if "mass" not in values:
            table = np.asarray(attribute(header, "MassTable"))
            if table.shape != (_TYPES,) or not table[kind] > 0.0:
                raise InputError(f"{label(group)} has no Masses, and MassTable has none for it")
            values["mass"] = np.full(n, float(table[kind]))
        if "identity" not in values:
            raise InputError(f"{label(group)} has no ParticleIDs")
        values.setdefault("velocity", np.zeros((n, 3)))
        values.setdefault("kind", np.full(n, _KIND_OF_TYPE[kind], np.int8))
        numbers, time = _units(h5, header)[0], number_attribute(header, "Time") or 0.0
        return Particles(time=time, units=numbers, **values)


def describe(path: Path) -> dict[str, Any]:
    """Return what a snapshot holds."""
    (state,) = states(path, None, None)
    kinds = {name: int((state.kind == code).sum()) for name, code in KINDS.items() if state.kind is not None}
    return {
        "frames": 1,
        "files": len(_files(path)),
        "particles": state.n,
        "kinds": {name: count for name, count in kinds.items() if count},
        "time": {"first": state.time, "last": state.time},
        "units": state.units.name,
    }
