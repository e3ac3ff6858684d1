"""Jobs of atoms: the learned stride and its reference by the same command, files, restart, series, summary, picture."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tiny_model as tiny
from askel.particles.io_h5md import Trajectory
from trajectories import same_content

FS = 1.0 / 10.180505  # a femtosecond in ASE's unit of time
FORCES = '[forces]\nreference = "copper-emt"\n'
VERLET = """
[particles]
file = "copper.xyz"
temperature = 300.0
[forces]
reference = "copper-emt"
[integrator]
kind = "leapfrog"
step = "2 fs"
[run]
t_end = "60 fs"
"""


@pytest.fixture
def atoms(folder):
    tiny.tiny_model(folder.path / "tiny.safetensors")
    tiny.copper_file(folder.path / "copper.xyz")
    return folder


def run(folder, text: str = tiny.JOB, *options: str):
    folder.write(text)
    answer = folder.askel("run", "job.toml", "--overwrite", *options)
    assert answer.code == 0, answer.err
    return answer


def table(folder, name: str) -> dict:
    with Trajectory(folder.path / "run.h5md") as file:
        return file.table(f"series/{name}")


def temperatures_at_start(folder) -> tuple[float, np.ndarray]:
    with Trajectory(folder.path / "run.h5md") as file:
        first = file[0]
    return first.kinetic_energy() * 2 / (3 * first.n - 3) / 8.617333e-5, first.mass @ first.velocity


# ---------------------------------------------------------------------- what a run gives


def test_a_stride_run_writes_frames_and_temperatures(atoms) -> None:
    said = run(atoms)
    with Trajectory(atoms.path / "run.h5md") as file:
        times = np.array(file.times) / FS
        assert file.tables() == ["series/temperature"]  # no energy is known, and none is written
        assert file.report["equipartition"] in ("correct", "not correct", "undecided")
        assert file[0].periodic.all() and (file[0].species == 29).all()
    assert times == pytest.approx(np.arange(0.0, 401.0, 16.0), rel=1e-6)
    warm = table(atoms, "temperature")
    assert len(warm["time"]) == 51
    assert warm["temperature_Cu"] == pytest.approx(warm["temperature"], rel=1e-9)
    assert "t = 0.4 ps" in said.out and "ns/day" in said.out and "equipartition" in said.out
    assert "dE" not in said.out and "energy error" not in said.out


def test_velocities_are_drawn_at_the_temperature_by_the_seed_alone(atoms) -> None:
    run(atoms)
    kelvin, momentum = temperatures_at_start(atoms)
    with Trajectory(atoms.path / "run.h5md") as file:
        one = file[0].velocity
    assert kelvin == pytest.approx(300.0, rel=1e-5)
    assert np.abs(momentum).max() < 1e-12
    run(atoms, tiny.JOB, "-s", "run.seed=4", "-s", 'particles.temperature="450 K"')
    kelvin, _ = temperatures_at_start(atoms)
    with Trajectory(atoms.path / "run.h5md") as file:
        other = file[0].velocity
    assert kelvin == pytest.approx(450.0, rel=1e-5)
    assert not np.allclose(one, other / np.sqrt(1.5), rtol=1e-3)
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] == pytest.approx(0.0, abs=0.4)


def test_times_are_rounded_to_whole_strides_with_one_line_each(atoms) -> None:
    said = run(atoms, tiny.JOB.replace('"400 fs"', '"101 fs"').replace('"16 fs"', '"15 fs"'))
    lines = [line for line in said.err.splitlines() if "rounded" in line]
    assert len(lines) == 2
    assert "run.t_end is rounded to 104 fs, a whole number of strides of 8 fs" in lines[0]
    assert "output.every is rounded to 16 fs" in lines[1]
    with Trajectory(atoms.path / "run.h5md") as file:
        assert file.times[-1] / FS == pytest.approx(104.0, rel=1e-6)
    again = atoms.askel("run", "job.toml", "--resume")  # 101 fs is reached
    assert again.code == 0 and "finished already" in again.err


def test_the_step_is_the_models_longest_or_the_one_asked_for(atoms) -> None:
    said = atoms.write(tiny.JOB) and atoms.askel("run", "job.toml", "--dry-run")
    assert "step 8 fs" in said.out and "50 steps" in said.out and "32 Cu" in said.out and "langevin, 300 K" in said.out
    said = atoms.askel("run", "job.toml", "--dry-run", "-s", 'integrator.step="4 fs"')
    assert "step 4 fs" in said.out and "100 steps" in said.out
    assert "time constant 40 fs" in said.out  # ten strides
    assert not (atoms.path / "run.h5md").exists()


def test_energies_are_watched_where_forces_are_given(atoms) -> None:
    said = run(atoms, FORCES + tiny.JOB.replace('"400 fs"', '"80 fs"'))
    energy = table(atoms, "energy")
    assert np.isfinite(energy["energy"]).all() and len(energy["time"]) == 11
    assert "meV/atom" in said.out
    with Trajectory(atoms.path / "run.h5md") as file:
        assert abs(file.report["energy_defect_meV_per_atom"]) > 1e-3  # a random model conserves nothing


def test_the_reference_runs_by_the_same_command(atoms) -> None:
    said = run(atoms, VERLET)
    error = np.abs(table(atoms, "energy")["energy_error"]).max()
    assert 1e-12 < error < 1e-2
    assert "energy defect" in said.out
    heated = run(atoms, VERLET + '[thermostat]\nkind = "bussi"\ntemperature = 600.0\ntime = "20 fs"\n')
    work = table(atoms, "energy")["work"]
    assert work[-1] > 0.0  # the thermostat heats, and the account closes
    assert "600.00" in heated.out


@pytest.mark.parametrize("bath", ["langevin", "bussi", "nose-hoover"])
def test_every_thermostat_by_its_name(atoms, bath: str) -> None:
    text = tiny.JOB.replace('"langevin"', f'"{bath}"').replace("= 300.0\n[run]", '= 300.0\ntime = "40 fs"\n[run]')
    run(atoms, text.replace('"400 fs"', '"80 fs"'))
    assert len(table(atoms, "temperature")["time"]) == 11


def test_the_barostat_changes_the_cell(atoms) -> None:
    barostat = '[barostat]\npressure = 1e5\ncompressibility = 7e-7\ntime = "400 fs"\nevery = 2\n'
    run(atoms, FORCES + barostat + tiny.JOB.replace('"400 fs"', '"160 fs"'))
    with Trajectory(atoms.path / "run.h5md") as file:
        volumes = [abs(np.linalg.det(file[k].cell)) for k in range(len(file))]
    assert len(set(volumes)) > 5
    assert volumes[-1] < volumes[0]


def test_error_control_falls_back_to_the_reference(atoms) -> None:
    control = '[error_control]\nestimators = ["energy"]\ntolerance = 1e-9\nfallback = "copper-emt"\n'
    said = run(atoms, FORCES + control + tiny.JOB.replace('"400 fs"', '"40 fs"'))
    with Trajectory(atoms.path / "run.h5md") as file:
        counted = file.report["statistics"]
    assert counted["strides_replaced"] > 0 and counted["fallback_steps"] >= 20
    assert "replaced by forces" in said.out
    assert "no calibration" in said.err


def test_a_run_needs_no_torch(atoms) -> None:
    atoms.write(tiny.JOB.replace('"400 fs"', '"40 fs"'))
    script = "import sys\nfor name in ('torch', 'e3nn'): sys.modules[name] = None\n"  # as if they were not installed
    script += "from askel.__main__ import main; print(main(['run', 'job.toml', '--quiet']))\n"
    script += "print([name for name in sys.modules if name.startswith('torch.')])"
    answer = subprocess.run([sys.executable, "-c", script], cwd=atoms.path, capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines() == ["0", "[]"]


# ---------------------------------------------------------------------- restart


def _pieces(folder, text: str, name: str) -> Path:
    """Run a job that is killed, stopped and resumed until it is done."""
    folder.write(text.replace("[output]", f'[output]\nfile = "{name}"\ncheckpoint_every = "0.2 s"'))
    process = folder.start("run", "job.toml", "--quiet")
    end = time.monotonic() + 120.0
    while not ((folder.path / name).exists() and (folder.path / name).stat().st_size > 100_000):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    code = folder.askel("run", "job.toml", "--quiet", "--resume", "--max-hours", str(0.2 / 3600)).code
    assert code == 75
    answer = folder.askel("run", "job.toml", "--quiet", "--resume")
    assert answer.code == 0, answer.err
    return folder.path / name


def test_a_killed_and_stopped_run_equals_the_unbroken_one_bit_for_bit(atoms) -> None:
    text = tiny.JOB.replace('"400 fs"', '"2.4 ps"')
    whole = run(atoms, text) and atoms.path / "run.h5md"
    broken = _pieces(atoms, text, "broken.h5md")
    assert same_content(whole, broken)
    used = (atoms.path / "broken.used.toml").read_text()
    assert 'model = "tiny.safetensors"' in used and "[gravity]" not in used


def test_used_toml_repeats_the_run_from_another_folder(atoms) -> None:
    whole = run(atoms, tiny.JOB, "--folder", "there") and atoms.path / "there" / "run.h5md"
    used = (atoms.path / "there" / "run.used.toml").read_text()
    assert 'model = "../tiny.safetensors"' in used
    answer = atoms.askel("run", "there/run.used.toml", "-s", "output.file=again.h5md", "--quiet")
    assert answer.code == 0, answer.err
    assert same_content(whole, atoms.path / "again.h5md")


def test_a_longer_run_goes_on_from_a_finished_one(atoms) -> None:
    run(atoms)
    longer = tiny.JOB.replace('"400 fs"', '"800 fs"')
    atoms.write(longer)
    assert atoms.askel("run", "job.toml", "--resume", "--quiet").code == 0
    whole = atoms.write(longer.replace("[output]", '[output]\nfile = "whole.h5md"'), "whole.toml")
    assert atoms.askel("run", whole.name, "--quiet").code == 0
    with Trajectory(atoms.path / "whole.h5md") as one, Trajectory(atoms.path / "run.h5md") as other:
        assert len(one) == len(other) == 51
        for a, b in zip(one, other, strict=True):
            assert np.array_equal(a.position, b.position) and np.array_equal(a.velocity, b.velocity)
            assert a.time == pytest.approx(b.time, rel=1e-15, abs=1e-13)  # landing on 400 fs rounds the clock
        warm = [file.table("series/temperature")["temperature"] for file in (one, other)]
    assert np.array_equal(*warm)


def test_a_resumed_run_keeps_its_model(atoms) -> None:
    model = atoms.path / "tiny.safetensors"
    run(atoms)
    first = model.read_bytes()
    tiny.tiny_model(model, note="another card")
    atoms.write(tiny.JOB.replace('"400 fs"', '"800 fs"'))
    answer = atoms.askel("run", "job.toml", "--resume", "--quiet")
    assert answer.code == 2 and "tiny.safetensors is another file now than when the run started" in answer.err
    assert answer.err.count("\n") == 1
    model.write_bytes(first)
    assert atoms.askel("run", "job.toml", "--resume", "--quiet").code == 0


# ---------------------------------------------------------------------- what is said of files


def test_info_of_a_model_prints_its_card(atoms) -> None:
    answer = atoms.askel("info", "tiny.safetensors", "--json")
    facts = json.loads(answer.out)
    assert (facts["format"], facts["species"], facts["strides_fs"]) == ("model", [29], [4.0, 8.0])
    assert facts["weights"] > 100
    assert "strides_fs" in atoms.askel("info", "tiny.safetensors").out


def test_the_picture_of_atoms_is_chosen_by_content(atoms) -> None:
    from askel.molecules import holds_atoms, read_molecules
    from askel.plot import molecular_figure

    run(atoms, FORCES + tiny.JOB.replace('"16 fs"', '"8 fs"').replace('"400 fs"', '"1.2 ps"'))
    path = atoms.path / "run.h5md"
    assert holds_atoms(path)
    found = read_molecules(path)
    assert found.frames.interval == pytest.approx(8.0, rel=1e-6)
    assert found.temperature["Cu"] == pytest.approx(table(atoms, "temperature")["temperature"], rel=1e-9)
    assert found.target == 300.0 and len(found.energy) > 100
    titles = [axes.get_title(loc="left") for axes in molecular_figure(found, "run").axes]
    assert titles == [
        "Temperature by element", "Energy less the thermostat's work", "Pair distributions", "Vibrational density of states",
    ]  # fmt: skip
    assert atoms.askel("plot", "run.h5md").code == 0
    assert (atoms.path / "run.png").stat().st_size > 20_000
    assert len(read_molecules(path, 0.5).frames) == pytest.approx(76, abs=1)


def test_progress_of_atoms_is_in_picoseconds_with_temperature(capsys, monkeypatch) -> None:
    from types import SimpleNamespace

    from askel import progress

    now = [0.0]
    monkeypatch.setattr(progress.clock, "monotonic", lambda: now[0])
    lines = progress.Lines(" ps", scale=0.01, measure=lambda simulation: "T 300 K", daily="ns")
    for second in range(13):
        now[0] = float(second)
        lines.show(SimpleNamespace(time=second * 1.0, t_end=1000.0, energy_error=1e-3))
    said = capsys.readouterr().err
    assert said.startswith("t = 0.1 of 10 ps | 0.864 ns/day | T 300 K | 16 min 30 s left")
