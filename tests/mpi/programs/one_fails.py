"""``askel run`` with a rank that fails in its third step: arguments are the rank, how it fails, and those of the command."""

import sys
from pathlib import Path

from askel.integrators import Simulation
from askel.particles import InputError

from askel.__main__ import main
from askel.launched import launched

WAYS = {
    "bug": lambda: 1 / 0,
    "exit": lambda: sys.exit(3),
    "input": lambda: _raise(InputError("this rank does not like its input; give another")),
    "system": lambda: _raise(PermissionError(13, "Permission denied", "some.file")),
}


def _raise(error):
    raise error


if __name__ == "__main__":
    rank, way, *arguments = sys.argv[1:]
    migrate = Simulation._migrate

    def fails(self):
        if self.step == 3 and launched()[0] in map(int, rank.split(",")):
            Path("failed").touch()
            WAYS[way]()
        migrate(self)

    Simulation._migrate = fails
    sys.exit(main(arguments))
