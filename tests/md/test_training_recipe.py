"""Recipes, budgets and learning rates of trainings."""

import json
from dataclasses import replace

import pytest
from askel.md.training.recipe import TrainingRecipe
from askel.md.training.schedule import SCHEDULES, Budget, warmed
from askel.particles import InputError


def test_schedules():
    r = TrainingRecipe(
        data=("x",),
        strides=(4.0,),
        steps=20,
        learning_rate=1.0,
        final_learning_rate=0.1,
        plateau_patience=2,
        plateau_factor=0.5,
    )
    cosine, plateau, constant = (SCHEDULES[name](r) for name in ("cosine", "plateau", "constant"))
    assert [cosine.rate(f) for f in (0.0, 0.5, 1.0, 1.5)] == pytest.approx([1.0, 0.55, 0.1, 0.1])
    for loss in (1.0, 2.0):
        plateau.validated(loss)
    assert plateau.rate(0.9) == 1.0
    plateau.validated(1.5)
    assert plateau.rate(0.9) == 0.5
    again = SCHEDULES["plateau"](r)
    again.restore(json.loads(json.dumps(plateau.state())))
    for one in (plateau, again):
        for _ in range(20):
            one.validated(3.0)
        assert one.rate(0.0) == 0.1
    assert constant.rate(0.99) == 1.0
    assert [warmed(1.0, k, 4) for k in (0, 1, 3, 9)] == [0.25, 0.5, 1.0, 1.0] and warmed(1.0, 0, 0) == 1.0
    both = Budget.of(replace(r, steps=100, epochs=3, max_minutes=2.0), batches=20)
    assert both.steps == 60 and both.done(30, 12.0) == 0.5 and both.done(30, 90.0) == 0.75


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"chanels": 3}, "no key 'chanels'; did you mean 'channels'"),
        ({"steps": 1.5}, "steps is 1.5; expected a whole number"),
        ({"time_reversal": 1}, "time_reversal is 1; expected true or false"),
        ({"strides": ["a"]}, "strides is 'a'; expected a number"),
        ({"batch": 0}, "batch is 0; expected at least 1"),
        ({"cutoff": 0.0}, "cutoff is 0.0; expected more than 0"),
        ({"steps": 0}, "needs a budget: give steps, epochs or max_minutes"),
        ({"strides": []}, r"needs strides = \[...\] in fs"),
        ({"semigroup": 1.0, "strides": [2, 5]}, "compares strides h and 2h, and none of"),
        ({"strides": [4, 2]}, "expected different positive times in fs, ascending"),
        ({"head": "forces"}, "head is 'forces'; expected 'stride' or 'energy'"),
        ({"validation": 1.0}, "validation is 1.0; expected a fraction below 1"),
        ({"betas": [0.9]}, "expected two numbers"),
        ({"early_stop": 3, "validation": 0.0}, "early_stop needs a validation fraction"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"data": []}, "needs data"),
    ],
)
def test_recipes_that_cannot_be(values, message):
    with pytest.raises(InputError, match=message) as caught:
        TrainingRecipe.from_mapping({"data": "x.h5", "strides": 4, "steps": 10} | values)
    assert "\n" not in str(caught.value)


def test_a_recipe_comes_back():
    one = TrainingRecipe.from_mapping({"data": "x.h5", "strides": 4, "steps": 10, "radial_hidden": [8, 8]})
    assert one.data == ("x.h5",) and one.strides == (4.0,) and one.radial_hidden == (8, 8)
    assert TrainingRecipe.from_mapping(json.loads(json.dumps(one.to_json()))) == one
