"""Training of networks: recipe, pairs from segments, losses, the loop, checkpoints, and the card that a model carries."""

from __future__ import annotations

from ...particles.lazy import lazily

#: public name -> module; the recipe needs no torch
_PUBLIC = {"TrainingRecipe": "recipe", "train": "trainer"}

__all__ = ["TrainingRecipe", "train"]

__getattr__, __dir__ = lazily(__name__, _PUBLIC)
