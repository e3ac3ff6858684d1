"""Training of networks from files of NVE segments: ``train(TrainingRecipe(data=..., strides=...), folder)``."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...equivariant.architecture import Architecture
from ...equivariant.model_file import Model, load_model, save_model
from ...equivariant.network import Network
from ...particles import InputError, Interrupted, kernel_threads
from ...particles.io_checkpoint import Checkpoint, read_checkpoint
from ...particles.io_segments import Segment
from .batches import Frames
from .calibrated import calibrated
from .data import Pairs, span_of, split
from .files import facts, read_segments
from .loop import CHECKPOINT, LOG, PLOT, Progress, TrainingLoop
from .metrics import errors
from .ranks import Alone, Ranks, ranks_of
from .recipe import TrainingRecipe
from .state import TrainingState
from .stretch import stretched, stretches
from .tasks import TASKS, Task
from .widen import widened

__all__ = ["MODEL", "TrainingRecipe", "train"]

#: What a training leaves in its folder, beside ``loop``'s log, plot and checkpoint.
MODEL, CARD = "model.safetensors", "card.json"


def train(
    recipe: TrainingRecipe,
    output: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
) -> Model:
    """Train a model and write it, with its card, to ``output``/model.safetensors; return it.

    The weights written are the moving average at the lowest validation loss (at the end, without validation). The folder
    also gets log.csv, loss.png (both live), checkpoint.askel with its previous generation, card.json, and the model so far
    at each checkpoint.

    Parameters
    ----------
    recipe : TrainingRecipe
    output : folder, made when missing
    resume : go on from the checkpoint in the folder, to the same losses as without the pause; a finished training is
        done at once
    overwrite : drop a training that is in the folder
    progress : called with each row of the log, a dict of its columns
    stop : asked before each step; when it says true, a checkpoint is written and Interrupted is raised

    Processes that ``torchrun`` starts share each batch; rank 0 writes, and its card alone has metrics.

    Raises
    ------
    InputError : data, recipe or folder that cannot be used
    NumericalFailure : a loss that is not finite; the last checkpoint is kept
    Interrupted : ``stop`` said so; resume

    """
    ranks = ranks_of(recipe.device, recipe.batch)
    folder = Path(output) if ranks.rank else _folder(Path(output), resume=resume, overwrite=overwrite)
    kept = _kept(folder, recipe) if resume else None
    with _threads(recipe.threads):
        work = _Training.of(recipe, kept)
        if overwrite and not resume and ranks.rank == 0:  # the data are good: only now the old training goes
            for name in (CHECKPOINT, f"{CHECKPOINT}.previous", LOG, PLOT, MODEL, CARD):
                (folder / name).unlink(missing_ok=True)
        return work.run(folder, kept, ranks, progress, stop)


def _folder(folder: Path, *, resume: bool, overwrite: bool) -> Path:
    there = [name for name in (CHECKPOINT, LOG, MODEL) if (folder / name).exists()]
    if there and not (resume or overwrite):
        raise InputError(
            f"{folder} holds a training already ({there[0]}); resume it, overwrite it or name another folder"
        )
    if resume and not there:
        raise InputError(f"{folder} holds no training to resume")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}") from None
    return folder


def _kept(folder: Path, recipe: TrainingRecipe) -> Checkpoint:
    kept = read_checkpoint(folder / CHECKPOINT)
    if "recipe" not in kept or "moments" not in kept:
        raise InputError(f"{folder / CHECKPOINT} is no checkpoint of a training")
    before = TrainingRecipe.from_mapping(kept["recipe"]).fixed()
    changed = [name for name, value in recipe.fixed().items() if before[name] != value]
    if changed:
        name = changed[0]
        raise InputError(f"{name} was {before[name]!r} and is {getattr(recipe, name)!r}: a resumed training keeps its recipe; "
                         "train anew, or start_from its model")  # fmt: skip
    return kept


@contextmanager
def _threads(number: int) -> Iterator[None]:
    if not number:
        yield
        return
    before = torch.get_num_threads()
    with kernel_threads(number):
        torch.set_num_threads(number)
        try:
            yield
        finally:
            torch.set_num_threads(before)


@dataclass(frozen=True, eq=False, slots=True)
class _Training:
    """A recipe with its data, made ready."""

    recipe: TrainingRecipe
    task: Task
    architecture: Architecture
    start: Mapping[str, np.ndarray] | None
    parts: Mapping[str, tuple[Frames, Pairs]]

    @classmethod
    def of(cls, recipe: TrainingRecipe, kept: Checkpoint | None) -> _Training:
        if recipe.device == "cuda" and not torch.cuda.is_available():
            raise InputError("device is 'cuda', but torch finds no GPU here; use device = 'cpu'")
        task = TASKS[recipe.head]
        energies = recipe.head == "energy"
        segments = read_segments(recipe.data, forces=energies)
        training, validation = split(segments, recipe.validation, recipe.seed, _reach(segments, recipe))
        pairs = task.pairs(training, recipe).thinned(recipe.training_pairs)
        start = load_model(recipe.start_from) if recipe.start_from else None
        if kept is not None:
            architecture = Architecture.from_json(kept["architecture"])
        elif start is not None:
            start = _able(start, recipe, lambda: task.architecture(training, pairs, recipe))
            architecture = start.architecture
        else:
            architecture = task.architecture(training, pairs, recipe)
        parts = {"training": (cls._frames(training, architecture, recipe), pairs)}
        others = {"validation": (validation, recipe.validation_pairs)}
        if recipe.test:
            others["test"] = (read_segments(recipe.test, forces=energies), recipe.test_pairs)
        for name, (segments, most) in others.items():
            if segments:
                chosen = task.pairs(segments, recipe).thinned(most)
                parts[name] = cls._frames(segments, architecture, recipe), chosen
        for name, (frames, chosen) in parts.items():
            if not len(chosen.long_enough(frames.segments, recipe.rollout)):
                raise InputError(
                    f"no segment of the {name} data goes on for rollout = {recipe.rollout} strides; lower it"
                )
        return cls(recipe, task, architecture, start.weights if start else None, parts)

    @staticmethod
    def _frames(segments: Sequence[Segment], architecture: Architecture, recipe: TrainingRecipe) -> Frames:
        return Frames(segments, architecture, cache=1e6 * recipe.graph_cache, device=recipe.device)

    def run(
        self,
        folder: Path,
        kept: Checkpoint | None,
        ranks: Alone | Ranks,
        progress: Progress | None,
        stop: Callable[[], bool] | None,
    ) -> Model:
        recipe = self.recipe
        state = TrainingState(recipe, self.architecture, self.start)
        if kept is not None:
            state.restore(kept)
        objectives = {name: self.task.objective(*part, recipe) for name, part in self.parts.items()}
        card = self._card()

        def publish() -> None:
            spent = {"finished": False, **_spent(state, "")}
            save_model(folder / MODEL, Model(self.architecture, _weights(state), {**card, "training": spent}))

        loop = TrainingLoop(
            state, self.task, objectives["training"], objectives.get("validation"), folder,
            ranks=ranks, publish=publish, progress=progress, stop=stop,
        )  # fmt: skip
        loop.run()
        if loop.ended == "stopped":
            raise Interrupted(f"training stopped at step {state.step} after a checkpoint; resume it in {folder}")
        model = Model(self.architecture, _weights(state), card)
        return model if ranks.rank else self._finish(folder, state, card, loop.ended)

    def _finish(self, folder: Path, state: TrainingState, card: dict[str, Any], ended: str) -> Model:
        weights = _weights(state)
        network, architecture = state.average.load(weights), self.architecture
        if self.recipe.keep_energy and self.recipe.head == "stride":
            by = stretches(errors(network, *self.parts[self._held_out_part()], self.recipe.batch))
            architecture, card = stretched(architecture, by), {**card, "stretched_by": by}
            network = Network(architecture, network.product, dtype=getattr(torch, self.recipe.dtype)).load(weights)
            network.to(self.recipe.device)
        metrics = {
            name: self.task.report(network, frames, pairs, self.recipe.batch)
            for name, (frames, pairs) in self.parts.items()
            if name != "training"
        }
        card = {**card, "training": {"finished": True, **_spent(state, ended)}, "metrics": metrics}
        model = Model(architecture, weights, card)
        if self.recipe.head == "stride":
            card = {**card, **calibrated(model, self._held_out())}
            model = Model(architecture, weights, card)
        save_model(folder / MODEL, model)
        (folder / CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
        return model

    def _held_out(self) -> list[Segment]:
        """Return segments that were not trained on, the test set's if there is one."""
        return list(self.parts[self._held_out_part()][0].segments)

    def _held_out_part(self) -> str:
        return next((name for name in ("test", "validation") if name in self.parts), "training")

    def _card(self) -> dict[str, Any]:
        recipe = self.recipe.to_json()
        for key in ("data", "test"):
            recipe[key] = [Path(p).name for p in recipe[key]]
        recipe["start_from"] = Path(recipe["start_from"]).name if recipe["start_from"] else ""
        return {
            "head": self.recipe.head,
            "units": "Angstrom, fs, amu, eV",
            "data": [facts(p) for p in self.recipe.data],
            "test_data": [facts(p) for p in self.recipe.test],
            "pairs": {name: len(pairs) for name, (_, pairs) in self.parts.items()},
            "recipe": recipe,
            "versions": {name: _version(name) for name in ("askel", "torch", "numpy")}
            | {"python": platform.python_version(), "machine": platform.machine()},
        }


def _reach(segments: Sequence[Segment], recipe: TrainingRecipe) -> int:
    """Return how many frames the longest sample takes."""
    spans = (span_of(h, s.interval) for s in segments for h in recipe.strides[-1:])
    return recipe.rollout * max(spans, default=0) + 1


def _able(model: Model, recipe: TrainingRecipe, measured: Callable[[], Architecture]) -> Model:
    """Return a model to start from, with rows for the recipe's strides, after looking whether the recipe fits it."""
    a = model.architecture
    if a.head != recipe.head:
        raise InputError(f"start_from is a model of head {a.head!r}, the recipe asks for {recipe.head!r}")
    return widened(model, recipe.strides, measured) if recipe.head == "stride" else model


def _weights(state: TrainingState) -> dict[str, np.ndarray]:
    return state.best_weights or state.average.arrays()


def _spent(state: TrainingState, ended: str) -> dict[str, Any]:
    return {
        "ended": ended,
        "steps": state.step,
        "epochs": state.sampler.epoch,
        "minutes": round(state.seconds / 60.0, 2),
        "validation_loss": state.best if state.best_weights else None,
        "device": state.recipe.device,
        "threads": state.recipe.threads or torch.get_num_threads(),
        "parameters": sum(w.numel() for w in state.network.weights.values()),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
