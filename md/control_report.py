"""What error control tells of a run: acceptance, retries, fall-back, and what the checks cost."""

from __future__ import annotations

from collections.abc import Mapping

from ..particles import UNIT_SYSTEMS, UnitSystem

_SECONDS_PER_DAY, _NANOSECOND = 86400.0, 1e-9


def figures(
    statistics: Mapping[str, float],
    *,
    time: float | None = None,
    wall_time: float | None = None,
    units: UnitSystem = UNIT_SYSTEMS["ase"],
) -> dict[str, float]:
    """Return the figures of a run from its statistics (those of ``Step``s, or of a ``RunReport``).

    Parameters
    ----------
    statistics : sums and extremes, as ``combine_statistics`` makes them
    time : simulated time in ``units``; wall_time : seconds it took. With both, the effective ns/day is among the figures
    units : of time

    Returns
    -------
    acceptance : strides that stand / strides tried
    repaired, retried, replaced, failed : strides of which a region was redone, that were tried again shorter, that were
        done by force steps for all atoms, that the model could not do; all / strides tried
    fallback_fraction : atoms x time done by force steps / atoms x time done
    force_steps : number
    checks : strides that estimators asked for / strides tried
    worst_score : largest finite score met
    ns_per_day : simulated, all checks, retries and force steps included

    """
    tried = statistics.get("strides_tried", 0.0)

    def share(name: str) -> float:
        return statistics.get(name, 0.0) / tried if tried else 0.0

    done = statistics.get("atom_time", 0.0)
    out = {
        "acceptance": share("strides_accepted"),
        "repaired": share("strides_repaired"),
        "retried": share("strides_retried"),
        "replaced": share("strides_replaced"),
        "failed": share("strides_failed"),
        "fallback_fraction": statistics.get("fallback_atom_time", 0.0) / done if done else 0.0,
        "force_steps": statistics.get("fallback_steps", 0.0),
        "checks": share("estimator_strides"),
        "worst_score": statistics.get("max_score", 0.0),
    }
    if time is not None and wall_time and units.time is not None:
        out["ns_per_day"] = abs(time) * units.time / _NANOSECOND / (wall_time / _SECONDS_PER_DAY)
    return out


def report(
    statistics: Mapping[str, float],
    *,
    time: float | None = None,
    wall_time: float | None = None,
    units: UnitSystem = UNIT_SYSTEMS["ase"],
) -> str:
    """Return the figures as a few lines to read; parameters as those of ``figures``."""
    f = figures(statistics, time=time, wall_time=wall_time, units=units)
    worst = {
        name.removeprefix("max_score_").replace("_", "-"): value
        for name, value in sorted(statistics.items())
        if name.startswith("max_score_")
    }
    lines = [
        f"strides tried         {statistics.get('strides_tried', 0.0):.0f}",
        f"accepted as they were {f['acceptance']:.2%}",
        f"with a region redone  {f['repaired']:.2%}",
        f"tried again shorter   {f['retried']:.2%}",
        f"replaced by forces    {f['replaced']:.2%}",
        f"the model failed      {f['failed']:.2%}",
        f"force steps           {f['force_steps']:.0f}, for {f['fallback_fraction']:.3%} of atoms x time",
        f"strides for checks    {f['checks']:.2f} per stride tried",
        f"worst scores          {', '.join(f'{name} {value:.3g}' for name, value in worst.items()) or 'none'}",
    ]
    if "ns_per_day" in f:
        lines.append(f"effective             {f['ns_per_day']:.4g} ns/day")
    return "\n".join(lines)
