"""The loop of a training: steps, log, validation, checkpoints; knows no files of data and no heads of networks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ...particles import NumericalFailure
from ...particles.io_checkpoint import write_checkpoint
from .log import TrainingLog, plot_log
from .loss import Objective
from .ranks import Alone, Ranks
from .schedule import Budget
from .state import TrainingState
from .tasks import Task

CHECKPOINT, LOG, PLOT = "checkpoint.askel", "log.csv", "loss.png"
Progress = Callable[[dict[str, Any]], None]


class TrainingLoop:
    """Takes steps until the budget is used up.

    Parameters
    ----------
    state : TrainingState, changed in place
    task : Task;  objective : of the training samples;  validation : of those held out, or None
    folder : where log, plot and checkpoints go
    ranks : processes that share the work
    publish : called after each checkpoint
    progress : called with each row of the log
    stop : asked before each step; true ends the loop after a checkpoint

    Attributes
    ----------
    ended : str, why the loop came to its end: "budget", "early stop" or "stopped"

    """

    def __init__(
        self,
        state: TrainingState,
        task: Task,
        objective: Objective,
        validation: Objective | None,
        folder: Path,
        *,
        ranks: Alone | Ranks,
        publish: Callable[[], None] | None = None,
        progress: Progress | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> None:
        self.state, self.task, self.objective, self.validation = state, task, objective, validation
        self.recipe, self._folder, self._ranks = state.recipe, folder, ranks
        self._publish, self._progress = publish or (lambda: None), progress or (lambda row: None)
        self._stop = stop or (lambda: False)
        rows = objective.rows(1)
        self._budget = Budget.of(self.recipe, len(rows) // state.sampler.batch_size(rows))
        self._rows = objective.rows(state.sampler.steps)
        self._log = TrainingLog(folder / LOG, state.step if state.step else -1) if ranks.rank == 0 else None
        self._begun = self._plotted = self._saved = time.perf_counter()
        self._before = self._logged_at = state.seconds
        self._logged_step = self._validated_step = state.step
        self.ended = ""

    @property
    def seconds(self) -> float:
        """Wall time of this training, sessions before included."""
        return self._before + time.perf_counter() - self._begun

    def run(self) -> None:
        """Take steps until the budget is used up, the validation gains no more, or ``stop`` says so.

        Raises
        ------
        NumericalFailure : a loss or gradient that is not finite; the last checkpoint is good
        AskelError : the disk refuses

        """
        while not self.ended:
            done = self._budget.done(self.state.step, self.seconds)
            fraction, stop = self._ranks.agree([done, float(self._stop())])
            if fraction >= 1.0:
                self.ended = "budget"
            elif stop:
                self.ended = "stopped"
            else:
                self._maybe_roll_out(fraction)
                self._step(fraction)
                self._after_step()
        self._close()

    def _close(self) -> None:
        if self.ended != "stopped":
            last = self.validation is not None and self._validated_step != self.state.step
            columns = self._validate() if last else {}
            if columns or self.state.counted:
                self._log_row(columns)
        self.save()
        self._plot()

    def _step(self, fraction: float) -> None:
        state = self.state
        rows, backwards = state.sampler.next(self._rows)
        state.optimiser.zero_grad(set_to_none=True)
        share = slice(self._ranks.rank, None, self._ranks.size)
        loss = self.objective.loss(state.network, rows[share], backwards[share], state.sampler.steps)
        loss.backward()
        loss = self._ranks.mean(state.network, loss)
        norm = torch.nn.utils.clip_grad_norm_(state.network.parameters(), self.recipe.clip or math.inf, foreach=True)
        value = float(loss)
        if not (math.isfinite(value) and math.isfinite(float(norm))):
            raise NumericalFailure(
                f"the loss is {value}, the norm of its gradient {float(norm)}; lower learning_rate or clip, and resume "
                f"from the last checkpoint in {self._folder}",
                time=self.seconds,
                step=state.step,
            )
        state.update(fraction)
        state.summed, state.counted = state.summed + value, state.counted + 1

    def _maybe_roll_out(self, fraction: float) -> None:
        recipe, sampler = self.recipe, self.state.sampler
        if recipe.rollout == sampler.steps or fraction < recipe.rollout_from:
            return
        self._rows = self.objective.rows(recipe.rollout)
        sampler.steps, sampler.place, sampler.epoch = recipe.rollout, 0, sampler.epoch + 1
        self.state.forget_best()

    def _after_step(self) -> None:
        state, recipe = self.state, self.recipe
        validate = self.validation is not None and state.step % recipe.validate_every == 0
        columns = self._validate() if validate else {}
        if validate or state.step % recipe.log_every == 0:
            self._log_row(columns)
        if recipe.early_stop and state.waited >= recipe.early_stop:
            self.ended = "early stop"
        now = time.perf_counter()
        if now - self._saved > 60.0 * recipe.checkpoint_minutes:
            self.save()
        if now - self._plotted > 60.0 * recipe.plot_minutes:
            self._plot()

    def _validate(self) -> dict[str, float]:
        assert self.validation is not None
        loss = 0.0
        columns: dict[str, float] = {}
        if self._ranks.rank == 0:
            loss, columns = self.task.validate(
                self.state.average, self.validation, self.recipe, self.state.sampler.steps
            )
        (loss,) = self._ranks.agree([loss])
        self.state.validated(loss)
        self._validated_step = self.state.step
        return {"validation_loss": loss, **columns}

    def _log_row(self, columns: dict[str, float]) -> None:
        state, seconds = self.state, self.seconds
        row: dict[str, Any] = {
            "step": state.step,
            "epoch": state.sampler.epoch,
            "learning_rate": state.rate,
            "train_loss": state.summed / state.counted if state.counted else "",
            "strides_in_a_row": state.sampler.steps,
            "seconds": seconds,
            "steps_per_second": (state.step - self._logged_step) / max(seconds - self._logged_at, 1e-9),
            **columns,
        }
        if self._log is not None:
            self._log.add(row)
            self._progress(row)
        state.summed, state.counted = 0.0, 0
        self._logged_step, self._logged_at = state.step, seconds

    def save(self) -> None:
        """Write a checkpoint; the one before it is kept as the previous generation."""
        self.state.seconds = self.seconds
        if self._ranks.rank == 0:
            write_checkpoint(self._folder / CHECKPOINT, self.state.tree())
            self._publish()
        self._saved = time.perf_counter()

    def _plot(self) -> None:
        if self._ranks.rank == 0:
            plot_log(self._folder / LOG, self._folder / PLOT)
        self._plotted = time.perf_counter()
