"""First, middle and last decode step are priced in one pass: each is the pass at its own context."""

import dataclasses

import numpy as np
import pytest

from perfmodel import Scenario
from perfmodel.estimate import estimate
from perfmodel.formulas.combine import simpson_mean
from perfmodel.ops import Op
from perfmodel.step import Step
from perfmodel.workload import answer_steps, decode

SCENARIOS = (
    {"batch": 40},
    {"batch": 3, "output": 1},
    {"model": "gpt-oss-20b", "engine": "llama-cpp", "batch": 7, "prefix": 100},
    {"model": "deepseek-v3", "n": 16, "tp": 8, "pp": 2, "mb": 2, "batch": 8, "overlap": 0.5},
    {"model": "llama-3.1-8b", "n": 8, "tp": 2, "cp": 4, "batch": 2, "engine": "eager", "draft": "ngram"},
)


def _numbers(op: Op) -> list[float]:
    values = [*op.shape, *op.blocks, *(value for value in op if not isinstance(value, str | tuple))]
    assert all(np.ndim(value) == 0 for value in values)
    return [float(value) for value in values]


@pytest.mark.parametrize("fields", SCENARIOS)
def test_one_pass_is_three(fields: dict[str, object]) -> None:
    """Every number of the joint pass at a context is that of a pass at this context alone."""
    s = Scenario(**fields)
    report = estimate(s)
    contexts = answer_steps(s.batch, s.prefix, s.input, s.output).past
    alone = [report.setup.run(decode(s.batch, context)) for context in contexts]
    for index, step in enumerate(alone):
        joint = report.steps.at(index)
        for name in (field.name for field in dataclasses.fields(Step) if field.name != "ops"):
            np.testing.assert_allclose(getattr(joint, name), getattr(step, name), rtol=1e-12, err_msg=name)
        for ours, theirs in zip(joint.ops, step.ops, strict=True):
            assert ours[:4] == theirs[:4]
            np.testing.assert_allclose(_numbers(ours), _numbers(theirs), rtol=1e-12, err_msg=ours.name)
    np.testing.assert_allclose(report.mean_step_s, simpson_mean(*(step.time_s for step in alone)), rtol=1e-12)
    np.testing.assert_allclose(report.decode.time_s, alone[1].time_s, rtol=1e-12)
