"""``askel evaluate`` and ``askel models``: what a model is worth, and which ones there are."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from .build_stride import model_path
from .describe import segments_in, shown
from .learning import SEGMENTS
from .particles import InputError
from .particles.units import DIMENSIONLESS, TIME, describe, parse_quantity
from .progress import Work

_PICOSECOND, _FEMTOSECOND = 1e-12, 1e-15


def evaluate(options: argparse.Namespace) -> int:
    """Judge a model against its reference."""
    if options.seeds < 1:
        raise InputError(f"--seeds {options.seeds}: expected 1 or more")
    if options.data is None and options.reference is None:
        raise InputError(
            f"give --data: segments that the model was not trained on (askel data --test makes *{SEGMENTS}), "
            "or --reference: a trajectory at constant temperature, or both"
        )
    duration = _femtoseconds("--time", options.time)
    targets = _targets(options)
    judgement = _judged(options, duration)
    print(judgement.to_json() if options.json else judgement.table(), end="\n" if options.json else "")
    if targets:
        from .md.judging.plot import plot

        plot(judgement, targets[".png"])
        targets[".json"].write_text(judgement.to_json(curves=True) + "\n", encoding="utf-8")
        targets[".md"].write_text(judgement.to_markdown(), encoding="utf-8")
        if not options.quiet:
            print(f"wrote {', '.join(str(p) for p in targets.values())}", file=sys.stderr)
    return 0


def _targets(options: argparse.Namespace) -> dict[str, Path]:
    """Return the files to write, in the folder of -o, by suffix."""
    if options.output is None:
        return {}
    folder = Path(options.output)
    targets = {suffix: folder / f"judgement{suffix}" for suffix in (".png", ".json", ".md")}
    for path in targets.values():
        if path.exists() and not options.overwrite:
            raise InputError(f"{path} is there already; use --overwrite, or -o another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {error.strerror}; choose another") from None
    return targets


def _judged(options: argparse.Namespace, duration: float) -> Any:
    from .md.judging.files import as_runs
    from .md.model_library import stride_of

    learned = stride_of(model_path(options.model, Path()))
    if options.reference is None:
        from .md.judging.model import judge_one_step
        from .md.judging.one_step import step_pairs

        known = learned.engine.architecture.strides
        strides = known if options.stride is None else (options.stride,)
        runs = as_runs(options.data, options.temperature)
        parts = [
            judge_one_step(learned.engine.stride, step_pairs(runs, h), title=f"{learned.name}, one step of {h:g} fs")
            for h in strides
        ]
        whole = parts[0]
        for part in parts[1:]:
            whole = whole.and_(part)
        return whole
    return _run_and_judge(options, learned, duration)


def _run_and_judge(options: argparse.Namespace, learned: Any, duration: float) -> Any:
    from .md.judging.model import run_and_judge

    temperature = _temperature(options.reference) if options.temperature is None else options.temperature
    with Work(quiet=options.quiet) as work:

        def show(simulation: Any) -> None:
            work.show(
                0.0 if simulation.t_end == 0.0 else simulation.time / simulation.t_end, "runs against the reference"
            )

        return run_and_judge(
            learned,
            options.reference,
            temperature=temperature,
            duration=duration,
            stride=options.stride,
            thermostat_kind=options.thermostat,
            seeds=options.seeds,
            one_step=options.data,
            progress=show,
        )


def _temperature(path: str) -> float:
    """Return the temperature that most segments of a file were drawn at, or the mean one of a trajectory, in K."""
    from .md.judging.conservation import mean_temperatures
    from .md.judging.files import as_runs

    if (found := segments_in(Path(path))) is not None:
        with found as file:
            drawn = [round(float(t), 3) for t in file.temperatures]
        if drawn:
            return max(dict.fromkeys(drawn), key=drawn.count)
    return float(mean_temperatures(as_runs(path))[0][0])


def _femtoseconds(key: str, text: str) -> float:
    """Return a time in fs; a bare number is in ps."""
    value, found = parse_quantity(text)
    if found not in (TIME, DIMENSIONLESS):
        raise InputError(f"{key} {text}: {describe(found)}; expected a time such as '100 ps'")
    span = value * (_PICOSECOND if found == DIMENSIONLESS else 1.0) / _FEMTOSECOND
    if not span > 0.0:
        raise InputError(f"{key} {text}: must be a positive time such as '100 ps'")
    return span


# ---------------------------------------------------------------------- lists


def models(options: argparse.Namespace) -> int:
    """List the models and references that come with the package, or print the card of one."""
    from .md.ase_references import REFERENCES
    from .md.model_library import card, models, open_model

    if options.name is not None:
        facts = card(open_model(model_path(options.name, Path())))
        print(shown(facts, as_json=options.json))
        return 0
    cards = models()
    if options.json:
        print(json.dumps({"models": cards, "references": {r.name: r.summary for r in REFERENCES.values()}}, indent=2))
        return 0
    from .particles.io_ase import symbols

    rows = [
        (
            name,
            f"{c['head']}, {' '.join(symbols(c['species']))}",
            f"{', '.join(f'{h:g}' for h in c['strides_fs'])} fs" if c["strides_fs"] else "forces, stress",
        )
        for name, c in cards.items()
    ]
    print("models (askel models NAME: the card)" if rows else "no models are installed")
    print("\n".join(f"  {name:<20}{what:<28}{strides}" for name, what, strides in rows), end="\n" if rows else "")
    print("references ([forces] reference, askel data)")
    print("\n".join(f"  {r.name:<20}{r.summary}" for r in REFERENCES.values()))
    return 0
