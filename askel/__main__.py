"""The command ``askel``: errors become one line and an exit code here, and nowhere else."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

EXIT_BAD_INPUT = 2
EXIT_BY_SIGNAL = 130  # what shells return for SIGINT


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    0 done, 2 bad input, 3 numerical failure, 4 missing dependency, 75 stopped and can be resumed, 1 the rest
    (a full disk, or a mistake of Askel's).
    """
    from .cli import parser

    options = parser().parse_args(arguments)
    from .particles.errors import AskelError

    try:
        code: int = options.command(options)
        sys.stdout.flush()
    except AskelError as error:
        return _tell(error, error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader of a pipe went away: not an error
        return 0
    except OSError as error:
        return _tell(_os_error(error), EXIT_BAD_INPUT)
    except MemoryError:
        return _tell("out of memory; use fewer particles, or a longer output.every", EXIT_BAD_INPUT)
    except KeyboardInterrupt:
        return _tell("interrupted", EXIT_BY_SIGNAL)
    return code


def _tell(error: object, code: int) -> int:
    print("askel:", " ".join(str(error).split()), file=sys.stderr)
    return code


def _os_error(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"


if __name__ == "__main__":
    sys.exit(main())
