"""The recipe of a training: every number that decides its result, as one frozen record that goes into the model's card."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from ...particles import InputError

#: What may differ between a training and its resumption: nothing that decides a step already done.
FREE_TO_CHANGE = frozenset(
    {"steps", "epochs", "max_minutes", "threads", "checkpoint_minutes", "plot_minutes", "log_every", "graph_cache", "test",
     "test_pairs", "keep_energy"}
)  # fmt: skip

#: name -> (lowest value, whether it may be equal)
_BOUNDS = {
    "cutoff": (0.0, False), "learning_rate": (0.0, False), "final_learning_rate": (0.0, True), "weight_decay": (0.0, True),
    "warm_up": (0.0, True), "clip": (0.0, True), "displacement_weight": (0.0, True), "velocity_weight": (0.0, True),
    "energy_weight": (0.0, True), "force_weight": (0.0, True), "validation": (0.0, True), "rollout_from": (0.0, True),
    "graph_cache": (0.0, True), "checkpoint_minutes": (0.0, True), "plot_minutes": (0.0, True), "channels": (1, True),
    "layers": (1, True), "batch": (1, True), "every": (1, True), "rollout": (1, True), "early_stop": (0, True),
    "validate_every": (1, True), "log_every": (1, True), "threads": (0, True), "training_pairs": (0, True),
    "validation_pairs": (1, True), "test_pairs": (1, True), "plateau_patience": (1, True), "seed": (0, True),
    "decay": (0.0, True), "semigroup": (0.0, True),
}  # fmt: skip

_CHOICES = {
    "head": ("stride", "energy"),
    "parity": ("natural", "both"),
    "optimiser": ("adamw", "muon"),
    "schedule": ("cosine", "plateau", "constant"),
    "dtype": ("float32", "float64"),
    "device": ("cpu", "cuda"),
    "implementation": ("fused", "reference"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingRecipe:
    """How a model is trained.

    Attributes
    ----------
    data : files of NVE segments
    test : files of segments that training never looks at; their errors go into the card
    strides : fs, whole multiples of the frames' interval (head "stride")
    head : "stride": pairs (x, v) -> (x', v');  "energy": energies and forces
    every : only every n-th frame of a segment starts a pair
    training_pairs : at most so many pairs are learned, spread evenly over the data; 0: all (for learning curves)
    validation : fraction of the segments (of the one segment: of its end) that is held out
    validation_pairs, test_pairs : at most so many pairs are looked at each time
    start_from : model file whose weights and scales training starts from; its architecture replaces the options below.
        Strides that it does not know begin as the nearest that it knows
    cutoff, l_max, parity, channels, layers, radial_functions, radial_hidden, speed_functions, speed_hidden : see Architecture
    batch : frames in a step
    optimiser : "adamw", or "muon" for the matrices of the layers and AdamW for the rest (see ``muon.Muon``)
    learning_rate, weight_decay, betas : of both; weights of matrices alone decay
    schedule : "cosine" to ``final_learning_rate`` over the budget, "plateau" (times ``plateau_factor`` after
        ``plateau_patience`` validations without gain), or "constant"
    warm_up : steps of linear rise
    decay : of the moving average of the weights, which is what is validated and written; it is
        min(decay, (1 + step)/(10 + step)), so early averages forget the first weights; 0: none
    clip : largest norm of the gradient; 0: none
    displacement_weight, velocity_weight : of the squared errors in units of what the baseline leaves, per species
    energy_weight, force_weight : the same of energies (their spread per atom) and forces (their rms)
    rollout, rollout_from : from this fraction of the run on, losses are of ``rollout`` strides on the model's own states
    semigroup : weight of f_h o f_h = f_2h on the model's own states, for every stride learned with its double (see
        ``loss.StrideObjective``), which makes step doubling a check and retries at h consistent; 0: off
    time_reversal : half of the pairs are seen backwards, (x', -v') -> (x, -v)
    keep_energy : at the end strides are stretched by what least squares leave out on held-out pairs (see ``stretch``)
    steps, epochs, max_minutes : budget, the first that is used up ends the training; 0: none
    early_stop : validations without gain that end the training; 0: never
    validate_every, log_every : steps;  checkpoint_minutes, plot_minutes : wall time between them
    dtype, device, threads : of torch; threads 0: as torch likes
    implementation : of the network's products
    graph_cache : megabytes of neighbour graphs kept in memory
    seed : of weights and shuffling

    Raises
    ------
    InputError : values out of range, no budget, unknown names (``from_mapping``)

    """

    data: tuple[str, ...]
    test: tuple[str, ...] = ()
    strides: tuple[float, ...] = ()
    head: Literal["stride", "energy"] = "stride"
    every: int = 1
    training_pairs: int = 0
    validation: float = 0.1
    validation_pairs: int = 100
    test_pairs: int = 500
    start_from: str = ""
    cutoff: float = 5.0
    l_max: int = 2
    parity: Literal["natural", "both"] = "natural"
    channels: int = 64
    layers: int = 4
    radial_functions: int = 8
    radial_hidden: tuple[int, ...] = (64, 64)
    speed_functions: int = 16
    speed_hidden: tuple[int, ...] = (64,)
    batch: int = 10
    optimiser: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = 3e-3
    final_learning_rate: float = 1e-6
    weight_decay: float = 1e-5
    betas: tuple[float, float] = (0.9, 0.999)
    schedule: Literal["cosine", "plateau", "constant"] = "cosine"
    warm_up: int = 100
    plateau_factor: float = 0.8
    plateau_patience: int = 10
    decay: float = 0.999
    clip: float = 10.0
    displacement_weight: float = 1.0
    velocity_weight: float = 1.0
    energy_weight: float = 1.0
    force_weight: float = 1.0
    rollout: int = 1
    rollout_from: float = 0.8
    semigroup: float = 0.0
    time_reversal: bool = True
    keep_energy: bool = False
    steps: int = 0
    epochs: int = 0
    max_minutes: float = 0.0
    early_stop: int = 0
    validate_every: int = 500
    log_every: int = 50
    checkpoint_minutes: float = 5.0
    plot_minutes: float = 2.0
    dtype: Literal["float32", "float64"] = "float32"
    device: Literal["cpu", "cuda"] = "cpu"
    threads: int = 1
    implementation: Literal["fused", "reference"] = "fused"
    graph_cache: float = 2000.0
    seed: int = 1

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise InputError(f"{name} is {getattr(self, name)!r}; expected {' or '.join(map(repr, choices))}")
        for name, (lowest, included) in _BOUNDS.items():
            value = getattr(self, name)
            if not math.isfinite(value) or value < lowest or (value == lowest and not included):
                raise InputError(f"{name} is {value}; expected {'at least' if included else 'more than'} {lowest}")
        if not self.data:
            raise InputError("a training needs data: give the files of NVE segments as data = [...]")
        if self.head == "stride" and not self.strides:
            raise InputError("a training of head 'stride' needs strides = [...] in fs")
        if list(self.strides) != sorted(set(self.strides)) or any(not t > 0.0 for t in self.strides):
            raise InputError(f"strides are {list(self.strides)}; expected different positive times in fs, ascending")
        if not (self.steps > 0 or self.epochs > 0 or self.max_minutes > 0.0):
            raise InputError("a training needs a budget: give steps, epochs or max_minutes")
        if self.steps < 0 or self.epochs < 0 or self.max_minutes < 0.0:
            raise InputError("steps, epochs and max_minutes must not be negative")
        if self.semigroup and max(doubles(self.strides), default=-1) < 0:
            raise InputError(
                f"semigroup compares strides h and 2h, and none of {list(self.strides)} fs is twice another; add one"
            )
        self._check_fractions()

    def _check_fractions(self) -> None:
        for name in ("validation", "rollout_from", "decay"):
            if not getattr(self, name) < (1.0 if name != "rollout_from" else 1.0 + 1e-12):
                raise InputError(f"{name} is {getattr(self, name)}; expected a fraction below 1")
        if len(self.betas) != 2 or not all(0.0 <= b < 1.0 for b in self.betas):
            raise InputError(f"betas are {list(self.betas)}; expected two numbers in [0, 1)")
        if not 0.0 < self.plateau_factor < 1.0:
            raise InputError(f"plateau_factor is {self.plateau_factor}; expected a number between 0 and 1")
        if self.early_stop and self.validation == 0.0:
            raise InputError("early_stop needs a validation fraction above 0")
        if self.schedule == "plateau" and self.validation == 0.0:
            raise InputError("schedule 'plateau' needs a validation fraction above 0")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> TrainingRecipe:
        """Return the recipe of the keys of a TOML table; a single file or stride may stand without a list."""
        defaults = {f.name: f for f in fields(cls)}
        given: dict[str, Any] = {}
        for key, value in values.items():
            if key not in defaults:
                near = difflib.get_close_matches(key, defaults, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(defaults)}"
                raise InputError(f"a training has no key {key!r}{hint}")
            given[key] = _as_type(key, str(defaults[key].type), value)
        if "data" not in given:
            raise InputError("a training needs data: give the files of NVE segments as data = [...]")
        return cls(**given)

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as JSON's types; ``from_mapping`` takes it back."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    def fixed(self) -> dict[str, Any]:
        """Return what a resumption must not change."""
        return {key: value for key, value in self.to_json().items() if key not in FREE_TO_CHANGE}


def doubles(strides: Sequence[float]) -> list[int]:
    """Return for each stride the row of the one that is twice as long, -1 where there is none."""
    return [next((k for k, other in enumerate(strides) if math.isclose(other, 2.0 * h)), -1) for h in strides]


def _as_type(key: str, kind: str, value: Any) -> Any:
    """Return a TOML value as the type of a field: whole numbers are numbers, one entry is a list of one."""
    if kind.startswith("tuple"):
        entries = value if isinstance(value, list | tuple) else [value]
        inner = kind.removeprefix("tuple[").split(",")[0]
        return tuple(_as_type(key, inner, entry) for entry in entries)
    types: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "bool": (bool,)}
    expected = types.get(kind, (str,))
    if not isinstance(value, expected) or (isinstance(value, bool) and kind != "bool"):
        name = {"int": "a whole number", "float": "a number", "bool": "true or false"}.get(kind, "a text")
        raise InputError(f"{key} is {value!r}; expected {name}")
    return float(value) if kind == "float" and isinstance(value, int | float) else value
