"""The command ``askel``: errors become one line and an exit code here, and nowhere else."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

from .launched import launched

EXIT_BAD_INPUT = 2
EXIT_BY_SIGNAL = 130  # what shells return for SIGINT


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    0 done, 2 bad input, 3 numerical failure, 4 missing dependency, 75 stopped and can be resumed, 1 the rest
    (a full disk, or a mistake of Askel's).
    """
    from .cli import parser

    rank, ranks = launched()
    with (
        contextlib.redirect_stderr(None if rank else sys.stderr),
        contextlib.redirect_stdout(None if rank else sys.stdout),
    ):
        options = parser().parse_args(arguments)  # the first rank says what is wrong with them
    from .particles.errors import AskelError

    try:
        code: int = options.command(options)
        sys.stdout.flush()
    except AskelError as error:
        return _tell(error, error.exit_code, everywhere=error.everywhere)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader of a pipe went away: not an error
        return 0
    except OSError as error:
        return _tell(_os_error(error), EXIT_BAD_INPUT)
    except MemoryError:
        return _tell("out of memory; use fewer particles, or a longer output.every", EXIT_BAD_INPUT)
    except KeyboardInterrupt:
        return _tell("interrupted", EXIT_BY_SIGNAL)
    except SystemExit as end:
        if ranks > 1:
            return _tell(
                f"a part of the program asked to exit ({end.code})", end.code if isinstance(end.code, int) else 1
            )
        raise
    return code


def _tell(error: object, code: int, *, everywhere: bool = False) -> int:
    """Print one line, of several ranks one alone, and return the code."""
    from .parallel import settle

    if settle(code, everywhere=everywhere):
        print("askel:", " ".join(str(error).split()), file=sys.stderr)
    return code


def _os_error(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"


if __name__ == "__main__":
    sys.exit(main())
