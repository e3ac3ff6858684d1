"""Virtual data sets: one data set in a file shows boxes of data sets in other files, its parts, which lie beside it.

HDF5 would open the parts by itself, with fill values for those that are missing, and without looking at their journals. So
parts are opened here: by ``open_hdf5``, never outside the file's folder, with one clear line for what is not there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .io_h5md_layout import run_of
from .io_hdf5 import dataset, label, open_hdf5

Box = tuple[tuple[int, int], ...]  # (start, stop) along each axis
_MOST_OPEN = 64


class Piece(NamedTuple):
    """What a virtual data set shows of one data set.

    Attributes
    ----------
    file : name of the file, in the same folder
    path : of the data set in it
    here, there : the box in the virtual data set and in the other, of one shape

    """

    file: str
    path: str
    here: Box
    there: Box


def pieces(data: h5py.Dataset) -> list[Piece]:
    """Return what a data set shows of others, in the order in which it was declared; nothing when it holds its own data.

    Raises
    ------
    InputError : something else than boxes

    """
    found = []
    for source in data.virtual_sources() if data.is_virtual else ():
        here, there = _box(source.vspace), _box(source.src_space)
        if here is not None and source.src_space.get_select_type() == h5py.h5s.SEL_ALL:
            there = tuple((0, n) for n in _shape(here))
        if here is None or there is None or _shape(here) != _shape(there):
            raise InputError(f"{label(data)} shows its parts in a way that is not supported; copy it with h5repack")
        found.append(Piece(source.file_name, source.dset_name, here, there))
    return found


def _box(space: Any) -> Box | None:
    """Return the box that a selection is, or None when it is not one (or has no end)."""
    try:
        low, high = space.get_select_bounds()
    except (RuntimeError, ValueError):
        return None
    box = tuple((int(a), int(b) + 1) for a, b in zip(low, high, strict=True))
    return box if space.get_select_npoints() == np.prod(_shape(box), dtype=np.int64) else None


def _shape(box: Box) -> tuple[int, ...]:
    return tuple(stop - start for start, stop in box)


class Parts:
    """The files that the virtual data sets of a file show; a few of them are kept open.

    Parameters
    ----------
    master : path of the file that shows them
    run : the mark that all of them must have; "" for files of other programs

    """

    def __init__(self, master: Path, run: str = "") -> None:
        self._master, self._run = master, run
        self._open: OrderedDict[str, tuple[h5py.File, dict[str, h5py.Dataset]]] = OrderedDict()  # with data sets in use
        self._pieces: dict[str, list[Piece]] = {}

    def check(self, data: h5py.Dataset) -> list[str]:
        """Return the names of the files that a data set shows, after seeing that all are there.

        Raises
        ------
        InputError : one is missing

        """
        names = list(dict.fromkeys(piece.file for piece in pieces(data) if piece.file != "."))
        for name in names:
            if not self._master.with_name(name).is_file():
                raise InputError(
                    f"{self._master} shows {name}, which is not beside it; put it back: these files belong together"
                )
        return names

    def read(self, data: h5py.Dataset, selection: Any) -> NDArray:
        """Return a part of a virtual data set.

        Parameters
        ----------
        data : of the master
        selection : numbers and slices of step 1, of as many leading axes as given

        Raises
        ------
        InputError : a part is missing, damaged, of another run, or shorter than what is shown of it

        """
        box, shape = _wanted(data.shape, selection)
        values = np.full(_shape(box), data.fillvalue, data.dtype)
        if data.name not in self._pieces:
            self._pieces[data.name] = pieces(data)
        for piece in self._pieces[data.name]:
            common = [(max(a, c), min(b, d)) for (a, b), (c, d) in zip(box, piece.here, strict=True)]
            if all(a < b for a, b in common):
                place = tuple(slice(a - c, b - c) for (a, b), (c, _) in zip(common, box, strict=True))
                moved = [there[0] - here[0] for here, there in zip(piece.here, piece.there, strict=True)]
                there = tuple(slice(a + k, b + k) for (a, b), k in zip(common, moved, strict=True))
                values[place] = self._read_piece(piece, there)
        return values.reshape(shape)

    def _read_piece(self, piece: Piece, there: tuple[slice, ...]) -> NDArray:
        file, found = self._part(piece.file)
        if piece.path not in found:
            data = dataset(file, piece.path.strip("/"))
            if data is None or data.is_virtual:
                raise self._too_short(piece)
            found[piece.path] = data
        if any(s.stop > n for s, n in zip(there, found[piece.path].shape, strict=True)):
            raise self._too_short(piece)
        return np.asarray(found[piece.path][there])

    def _too_short(self, piece: Piece) -> InputError:
        return InputError(
            f"{self._master} shows more of {piece.file} than is in it: the part is damaged, or of another time"
        )

    def _part(self, name: str) -> tuple[h5py.File, dict[str, h5py.Dataset]]:
        if name not in self._open:
            path = self._master.with_name(name)
            file = open_hdf5(path)
            if run_of(file) != self._run and self._run:
                file.close()
                raise InputError(
                    f"{path} is a part of another run than {self._master.name}; put the right one beside it"
                )
            self._open[name] = file, {}
            if len(self._open) > _MOST_OPEN:
                self._open.popitem(last=False)[1][0].close()
        self._open.move_to_end(name)
        return self._open[name]

    def close(self) -> None:
        """Close what is open."""
        while self._open:
            self._open.popitem()[1][0].close()


def _wanted(shape: tuple[int, ...], selection: Any) -> tuple[Box, tuple[int, ...]]:
    """Return the box of a selection, and the shape of its values (axes picked by a number are left out)."""
    chosen: Sequence[Any] = selection if isinstance(selection, tuple) else (selection,)
    box, kept = [], []
    for axis, n in enumerate(shape):
        pick = chosen[axis] if axis < len(chosen) else slice(None)
        start, stop = pick.indices(n)[:2] if isinstance(pick, slice) else (int(pick), int(pick) + 1)
        box.append((start, max(start, stop)))
        if isinstance(pick, slice):
            kept.append(max(start, stop) - start)
    return tuple(box), tuple(kept)


def show(group: h5py.Group, name: str, shape: tuple[int, ...], example: Any, shown: Sequence[Piece]) -> h5py.Dataset:
    """Make a virtual data set, replacing one of that name.

    Parameters
    ----------
    group, name : where
    shape : of the whole
    example : NumPy scalar of the type of the data; it is also the value of what no piece covers
    shown : pieces

    """
    if name in group:
        del group[name]
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_fill_value(np.array(example))
    space = h5py.h5s.create_simple(shape)
    for piece in shown:
        here, size = space.copy(), _shape(piece.here)
        here.select_hyperslab(tuple(start for start, _ in piece.here), size)
        there = h5py.h5s.create_simple(tuple(stop for _, stop in piece.there))
        there.select_hyperslab(tuple(start for start, _ in piece.there), size)
        made.set_virtual(here, piece.file.encode(), piece.path.encode(), there)
    kind = h5py.h5t.py_create(np.asarray(example).dtype, logical=True)
    return h5py.Dataset(h5py.h5d.create(group.id, name.encode(), kind, space, made))
