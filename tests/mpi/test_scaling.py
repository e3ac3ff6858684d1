"""What ``askel scaling`` makes of counts; and one count of real ranks."""

import json

import pytest
from askel.particles import InputError

from askel.scaling import growth, launcher, predicted, table


def record(ranks, compute, halo=0.0, particles=8000, messages=4.0, size=0.0, calls=10.0):
    one = {
        "owned": particles / ranks, "compute": compute, "communicate": 0.1, "bytes": size, "messages": messages,
        "collectives": calls, "halo_bytes": halo,
    }  # fmt: skip
    return {"ranks": ranks, "particles": particles, "per_rank": {k: [v] * ranks for k, v in one.items()}}


def test_the_model_adds_work_messages_and_collectives():
    found = record(8, 0.5, messages=6.0, size=4e6)
    assert predicted(found, 1e-3, 1e8) == pytest.approx(0.5 + 6e-3 + 0.04 + 10 * 3 * 1e-3)
    assert predicted(record(1, 0.5, messages=0.0), 1e-3, 1e8) == pytest.approx(0.5)
    found["per_rank"]["compute"][3] = 0.9  # the slowest rank counts
    assert predicted(found, 0.0, 1e8) == pytest.approx(0.94)


def test_the_growth_of_a_surface_is_found():
    records = [record(p, 1.0 / p, halo=100.0 * (8000 / p) ** (2 / 3)) for p in (1, 2, 8, 64)]
    assert growth(records) == pytest.approx(2 / 3)
    assert growth(records[:2]) is None


def test_the_table_gives_efficiency():
    lines = table([record(1, 1.0), record(4, 0.3)], 0.0, 1e9)
    assert lines[1].endswith("100%") and lines[2].endswith("83%")


def test_real_ranks_are_counted(ranks, tmp_path, monkeypatch):
    from askel.__main__ import main

    monkeypatch.chdir(tmp_path)
    assert main(["example", "quartz"]) == 0
    assert main(["scaling", "quartz.toml", "--ranks", "1,2", "--steps", "1", "-o", "found.json"]) == 0
    one, two = json.loads((tmp_path / "found.json").read_text())
    assert one["per_rank"]["bytes"] == [0.0] and two["ranks"] == 2 and sum(two["per_rank"]["owned"]) == 162
    # in this small cell every atom is a ghost of the other rank: 81 of them, or so, 3 layers' worth of features each
    assert min(two["per_rank"]["halo_bytes"]) > 81 * 64 * 4
    assert sorted(p.name for p in tmp_path.iterdir()) == ["found.json", "quartz.toml", "quartz.xyz"]
    assert main(["scaling", "quartz.toml", "--ranks", "none"]) == 2
    with pytest.raises(InputError):
        monkeypatch.setenv("PATH", "")
        monkeypatch.setattr("sys.executable", "/nowhere/python")
        launcher()
