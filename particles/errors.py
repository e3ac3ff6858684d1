"""The errors Askel raises: few classes, each with the exit code the command line returns for it.

| class | meaning | exit code |
|---|---|---|
| ``InputError`` | the user gave something that cannot be used | 2 |
| ``NumericalFailure`` | an integration could not go on | 3 |
| ``MissingDependency`` | an optional package is not installed | 4 |
| ``Interrupted`` | a signal or a time limit stopped the run, which can be resumed | 75 |
"""

from __future__ import annotations

from collections.abc import Sequence

EXIT_RESTARTABLE = 75  # EX_TEMPFAIL of sysexits.h: "try again"


class AskelError(Exception):
    """Base of every error Askel raises on purpose.

    Attributes
    ----------
    exit_code : int, what the command line returns for it
    everywhere : bool, whether every rank of a parallel run raises it

    """

    exit_code = 1
    everywhere = False


class InputError(AskelError, ValueError):
    """The user's input cannot be used; the message says what came, what was expected and what to do."""

    exit_code = 2


class NumericalFailure(AskelError, ArithmeticError):
    """An integration could not go on.

    Attributes
    ----------
    time : float, the time reached, in the units of the particles
    step : int, the number of advances done
    identities : tuple of int, the particles concerned (empty when unknown)
    reason : str, the message without them

    """

    exit_code = 3

    def __init__(self, message: str, *, time: float, step: int = 0, identities: Sequence[int] = ()) -> None:
        self.time, self.step, self.identities, self.reason = time, step, tuple(identities), message
        who = f", particles {list(self.identities)}" if self.identities else ""
        super().__init__(f"{message} (at time {time:.17g}, step {step}{who})")


class MissingDependency(AskelError, ImportError):
    """An optional package is missing; the message names the extra to install."""

    exit_code = 4

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed; it comes with: pip install 'askel[{extra}]'")


class Interrupted(AskelError):
    """A signal or the wall-clock limit stopped a run after a checkpoint; it can be resumed."""

    exit_code = EXIT_RESTARTABLE
