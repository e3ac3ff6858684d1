"""Counter-based noise: known answers, statistics, independence of order and batch."""

import math

import numpy as np
import pytest
from askel.particles import InputError
from askel.particles.noise import SYSTEM, Purpose, normal, philox4x32, uniform
from scipy import stats

MAXIMUM = 0xFFFFFFFF

#: counter, key, result: kat_vectors of Random123, philox4x32 with 10 rounds
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((MAXIMUM,) * 4, (MAXIMUM, MAXIMUM), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_known_answers(counter, key, expected):
    assert philox4x32(np.array([counter], np.uint32), key)[0].tolist() == list(expected)


def test_counter_holds_identity_step_purpose_and_block():
    seed, step, who = 0x299F31D0A4093822, (0x0370 << 32) | 0x13198A2E, 0x05A308D3243F6A88
    counter = [[0x243F6A88, 0x05A308D3, 0x13198A2E, 0x0370 << 16 | Purpose.TEST.value << 8 | block] for block in (0, 1)]
    words = philox4x32(np.array(counter, np.uint32), (0xA4093822, 0x299F31D0)).astype(object).reshape(-1, 2)
    expected = [((a >> 5) * 2**26 + (b >> 6)) / 2**53 for a, b in words]
    assert uniform(seed, Purpose.TEST, step, [who], 4)[0].tolist() == expected


@pytest.mark.parametrize("draw", [uniform, normal])
def test_order_batch_and_columns_do_not_matter(draw):
    rng = np.random.default_rng(5)
    who = rng.permutation(1000)[:67]
    every = draw(9, Purpose.THERMOSTAT, 12, who, 6)
    order = rng.permutation(67)
    assert np.array_equal(draw(9, Purpose.THERMOSTAT, 12, who[order], 6), every[order])
    for size in (1, 2, 3, 7, 32, 66):
        assert np.array_equal(draw(9, Purpose.THERMOSTAT, 12, who[:size], 6), every[:size])
    for columns in range(1, 6):
        assert np.array_equal(draw(9, Purpose.THERMOSTAT, 12, who, columns), every[:, :columns])
    assert draw(9, Purpose.THERMOSTAT, 12, np.zeros(0, int), 3).shape == (0, 3)


def test_every_key_changes_the_numbers():
    base = (1, Purpose.THERMOSTAT, 5, [3])
    seen = {float(uniform(*base)[0, 0])}
    for k, other in enumerate((2, Purpose.ROTATION, 6, [4])):
        seen.add(float(uniform(*base[:k], other, *base[k + 1 :])[0, 0]))
    seen.add(float(uniform(1 << 63, *base[1:])[0, 0]))
    seen.add(float(uniform(1, Purpose.THERMOSTAT, 5 << 32, [3])[0, 0]))
    seen.add(float(uniform(1, Purpose.THERMOSTAT, 5, [3 << 32])[0, 0]))
    seen.add(float(uniform(1, Purpose.THERMOSTAT, 5, [SYSTEM])[0, 0]))
    assert len(seen) == 9


def test_purposes_are_numbers_of_one_byte_and_differ():
    numbers = [p.value for p in Purpose.__members__.values()]
    assert len(set(numbers)) == len(numbers)
    assert all(0 < n < 256 for n in numbers)


@pytest.mark.parametrize(("draw", "distribution"), [(uniform, stats.uniform), (normal, stats.norm)])
def test_distribution(draw, distribution):
    n = 200_000
    values = draw(2026, Purpose.TEST, 1, np.arange(n // 4), 4)
    assert 1e-4 < stats.kstest(values.ravel(), distribution.cdf).pvalue < 1 - 1e-4
    moments = [np.mean(values.ravel() ** k) for k in (1, 2, 3, 4)]
    for k, found in enumerate(moments, 1):
        sigma = math.sqrt((distribution.moment(2 * k) - distribution.moment(k) ** 2) / n)
        assert 0.0 < abs(found - distribution.moment(k)) < 4 * sigma


def test_neighbouring_streams_are_uncorrelated():
    n = 50_000
    base = normal(7, Purpose.TEST, 0, np.arange(n), 2)
    others = [
        normal(8, Purpose.TEST, 0, np.arange(n))[:, 0],
        normal(7, Purpose.TEST, 1, np.arange(n))[:, 0],
        normal(7, Purpose.THERMOSTAT, 0, np.arange(n))[:, 0],
        normal(7, Purpose.TEST, 0, np.arange(1, n + 1))[:, 0],
        base[:, 1],
    ]
    for other in others:
        assert abs(np.corrcoef(base[:, 0], other)[0, 1]) < 4.5 / math.sqrt(n)
        assert abs(np.corrcoef(base[:, 0] ** 2, other**2)[0, 1]) < 4.5 / math.sqrt(n)


def test_uniform_stays_below_one_and_normal_is_finite(monkeypatch):
    everything = np.full((1, 4), MAXIMUM, np.uint32)
    monkeypatch.setattr("askel.particles.noise.philox4x32", lambda counter, key: everything)
    assert uniform(0, Purpose.TEST, 0, [0], 2).max() == 1 - 2.0**-53
    assert normal(0, Purpose.TEST, 0, [0], 1)[0, 0] == pytest.approx(math.sqrt(2 * 53 * math.log(2)), rel=1e-12)
    everything[...] = 0
    assert np.array_equal(normal(0, Purpose.TEST, 0, [0], 2), [[0.0, 0.0]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, Purpose.TEST, 0, [0]), "seed is -1; expected 0 to 2\\^64 - 1"),
        ((0, Purpose.TEST, 1 << 48, [0]), "step is"),
        ((0, Purpose.TEST, 0, [0.5]), "expected integers"),
        ((0, Purpose.TEST, 0, [[1, 2]]), "expected integers of shape"),
        ((0, Purpose.TEST, 0, [0], 0), "0 numbers per identity"),
        ((0, Purpose.TEST, 0, [0], 513), "expected 1 to 512"),
    ],
)
@pytest.mark.parametrize("draw", [uniform, normal])
def test_user_mistakes(draw, arguments, message):
    with pytest.raises(InputError, match=message):
        draw(*arguments)
