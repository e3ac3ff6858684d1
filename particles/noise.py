"""Noise as a function: the same numbers for the same (seed, purpose, step, identity), whatever else is drawn and when.

No generator object survives a step. Numbers therefore do not depend on the order of the particles, on how they are spread over
ranks or batches, or on a restart.
"""

from __future__ import annotations

from enum import Enum, unique

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError

#: Identity that stands for the system as a whole (a random rotation, a Monte Carlo decision).
SYSTEM = -1


@unique
class Purpose(Enum):
    """What noise is for; each purpose has a stream of its own. Numbers are never reused: old runs must repeat."""

    THERMOSTAT = 1
    BAROSTAT = 2
    ROTATION = 3
    MONTE_CARLO = 4
    INITIAL_CONDITIONS = 5
    MODEL = 6
    ENCOUNTER = 7
    TEST = 255


# Multipliers and Weyl increments of Philox4x32 (Salmon et al. 2011, table 2 and section 3.3)
_MULTIPLIER = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_LOW, _SHIFT = np.uint64(0xFFFFFFFF), np.uint64(32)
_BLOCK_BITS, _PURPOSE_BITS, _STEP_BITS = 8, 8, 48
_DOUBLES_PER_BLOCK = 2


def philox4x32(counter: NDArray[np.uint32], key: tuple[int, int]) -> NDArray[np.uint32]:
    """Return Philox4x32-10 of counters.

    Parameters
    ----------
    counter : (n, 4) uint32
    key : two integers of 32 bits

    Returns
    -------
    (n, 4) uint32, random bits

    References
    ----------
    Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3", doi:10.1145/2063384.2063405

    """
    words = [counter[:, k].astype(np.uint64) for k in range(4)]
    for i in range(_ROUNDS):
        key_0, key_1 = (np.uint64((k + i * w) & 0xFFFFFFFF) for k, w in zip(key, _WEYL, strict=True))
        product_0, product_1 = _MULTIPLIER[0] * words[0], _MULTIPLIER[1] * words[2]
        words = [
            (product_1 >> _SHIFT) ^ words[1] ^ key_0,
            product_1 & _LOW,
            (product_0 >> _SHIFT) ^ words[3] ^ key_1,
            product_0 & _LOW,
        ]
    return np.stack(words, axis=1).astype(np.uint32)


def uniform(seed: int, purpose: Purpose, step: int, identity: ArrayLike, columns: int = 1) -> NDArray[np.float64]:
    """Return numbers uniform in [0, 1), multiples of 2^-53.

    Parameters
    ----------
    seed : 0 ... 2^64 - 1
    purpose : Purpose
    step : 0 ... 2^48 - 1, number of the step
    identity : (n,) int64, identities of the particles; ``SYSTEM`` for the system as a whole
    columns : numbers per identity, 1 ... 512; the first k do not depend on how many are asked for

    Returns
    -------
    (n, columns) float64

    Raises
    ------
    InputError : a seed, step or number of columns out of range, identities that are not integers

    """
    who = _identities(identity)
    blocks = _blocks(columns)
    key = _in_range("seed", seed, 64)
    counter = np.empty((len(who), blocks, 4), np.uint32)
    counter[..., 0] = (who & _LOW)[:, None]
    counter[..., 1] = (who >> _SHIFT)[:, None]
    when = _in_range("step", step, _STEP_BITS)
    counter[..., 2] = when & 0xFFFFFFFF
    high = (when >> 32) << (_PURPOSE_BITS + _BLOCK_BITS) | purpose.value << _BLOCK_BITS
    counter[..., 3] = high | np.arange(blocks)
    bits = philox4x32(counter.reshape(-1, 4), (key & 0xFFFFFFFF, key >> 32)).astype(np.uint64)
    # 27 and 26 bits of two words make the 53 of a double
    whole = (bits[:, 0::2] >> np.uint64(5)) << np.uint64(26) | bits[:, 1::2] >> np.uint64(6)
    return np.ascontiguousarray((whole * 2.0**-53).reshape(len(who), _DOUBLES_PER_BLOCK * blocks)[:, :columns])


def normal(seed: int, purpose: Purpose, step: int, identity: ArrayLike, columns: int = 1) -> NDArray[np.float64]:
    """Return numbers of the standard normal distribution, by the transformation of Box and Muller.

    z_1 = sqrt(-2 ln(1 - u_1)) cos(2 pi u_2),  z_2 = sqrt(-2 ln(1 - u_1)) sin(2 pi u_2)

    Parameters, shape and errors as those of ``uniform``. The largest value possible is 8.57.

    References
    ----------
    Box & Muller 1958, doi:10.1214/aoms/1177706645

    """
    pairs = _blocks(columns)
    u = uniform(seed, purpose, step, identity, _DOUBLES_PER_BLOCK * pairs).reshape(-1, 2)
    radius = np.sqrt(-2.0 * np.log1p(-np.ascontiguousarray(u[:, 0])))
    angle = 2.0 * np.pi * np.ascontiguousarray(u[:, 1])
    values = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return np.ascontiguousarray(values.reshape(-1, _DOUBLES_PER_BLOCK * pairs)[:, :columns])


def _identities(identity: ArrayLike) -> NDArray[np.uint64]:
    who = np.atleast_1d(np.asarray(identity))
    if who.ndim != 1 or (who.size and who.dtype.kind not in "iu"):
        raise InputError(f"identities are {who.dtype} of shape {who.shape}; expected integers of shape (n,)")
    return who.astype(np.int64).view(np.uint64)


def _blocks(columns: int) -> int:
    most = _DOUBLES_PER_BLOCK << _BLOCK_BITS
    if not 1 <= columns <= most:
        raise InputError(f"{columns} numbers per identity asked for; expected 1 to {most}")
    return -(-columns // _DOUBLES_PER_BLOCK)


def _in_range(name: str, value: int, bits: int) -> int:
    if not 0 <= value < 1 << bits:
        raise InputError(f"{name} is {value}; expected 0 to 2^{bits} - 1")
    return int(value)
