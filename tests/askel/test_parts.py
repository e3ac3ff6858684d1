"""``output.files = "per-rank"`` as a user meets it, on one rank: what is said, converted, drawn, replaced."""

import json

import numpy as np
from askel.particles.io_h5md import Trajectory

PER_RANK = ("-s", "output.files=per-rank")


def frames(path):
    with Trajectory(path) as trajectory:
        return list(trajectory)


def test_a_run_in_parts(folder):
    folder.write()
    assert folder.askel("run", "job.toml", "--quiet", "-s", "output.file=one.h5md").code == 0
    assert folder.askel("run", "job.toml", "--quiet", *PER_RANK, "-s", "run.t_end=0.5").code == 0
    assert folder.askel("run", "job.toml", "--quiet", *PER_RANK, "--resume").code == 0
    one, run = frames(folder.path / "one.h5md"), frames(folder.path / "run.h5md")
    for a, b in zip(one, run, strict=True):  # the end of the first part is a sum of its own
        np.testing.assert_allclose(np.append(a.position, a.time), np.append(b.position, b.time), rtol=1e-12, atol=1e-13)
    said = json.loads(folder.askel("info", "run.h5md", "--json").out)
    assert said["parts"] == 1 and said["part_files"] == ["run.part-0.h5md"]
    assert "part_of_run" in folder.askel("info", "run.part-0.h5md").out
    assert folder.askel("plot", "run.h5md").code == 0
    assert folder.askel("convert", "run.h5md", "run.csv").code == 0
    assert folder.askel("convert", "run.h5md", "whole.h5md").code == 0
    (folder.path / "run.part-0.h5md").unlink()
    assert "shows run.part-0.h5md, which is not beside it" in folder.askel("info", "run.h5md").line()
    assert len(frames(folder.path / "whole.h5md")) == len(one)


def test_what_is_there_is_not_replaced_unless_asked(folder):
    folder.write()
    (folder.path / "run.part-7.h5md").write_text("of somebody")
    assert "run.part-7.h5md is there already" in folder.askel("run", "job.toml", *PER_RANK).line()
    assert folder.askel("run", "job.toml", "--quiet", "--overwrite", *PER_RANK).code == 0
    assert [p.name for p in folder.path.glob("run.part*")] == ["run.part-0.h5md"]
    assert "output.files is 'one' now" in folder.askel("run", "job.toml", "-s", "output.files=one", "--resume").line()
    assert folder.askel("run", "job.toml", "--quiet", "--overwrite").code == 0
    assert not list(folder.path.glob("run.part*")) and len(frames(folder.path / "run.h5md")) > 1
