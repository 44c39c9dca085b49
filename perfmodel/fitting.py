r"""Fit the few constants of an engine profile to measurements of one machine: robust least squares on log residuals.

$$ \min_\theta \sum_i w_i \ln^2 \frac{t_i(\theta)}{m_i} + \lambda \lVert \ln\theta-\ln\theta_0 \rVert^2 $$

with Huber weights w, the profile's own constants theta_0 and a weak pull towards them, so that a constant of which the
rows say nothing stays what it was. Such a constant is named and left out of the link.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from perfmodel.calibration import KNOBS, constants_of, shown, text_of
from perfmodel.estimate import estimate, setup
from perfmodel.hardware import Chip
from perfmodel.importers.measured import Measurement
from perfmodel.kernels import ENGINE, kernel
from perfmodel.measurements import Measured, read_measurements
from perfmodel.report import Report
from perfmodel.scenario import CUSTOM, Scenario
from perfmodel.score import Score, residuals, score
from perfmodel.units import show, significant
from perfmodel.workload import prefill

Vector = npt.NDArray[np.float64]
#: Residuals beyond this count linearly: one late row must not bend a constant (Huber's threshold).
HUBER, FORGIVING = 0.1, 1.0
#: Noise of measurements taken at first, and the least that is believed.
NOISE, LEAST_NOISE = 0.02, 1e-5
#: Rounds in which the noise is taken from the residuals; how much slower another host may be.
ROUNDS, SLOW_HOST = 2, 3.0
#: A constant counts as determined where the rows leave less than this of the pull's own uncertainty.
DETERMINED = 0.2
#: Damped Gauss-Newton steps, and the step of a finite difference in ln(theta).
STEPS, DIFFERENCE = 40, 1e-4
#: A step that gains less than this share of the loss is the last.
SMALL_GAIN = 1e-9
#: The longest step in ln(theta), and how much harder a constant is held that is not fitted.
MOST_MOVE, FIXED = 1.5, 1e12
LEAST_ROWS = 2
#: A larger logarithmic error is said as a factor.
LARGE = 0.5


@dataclass(frozen=True)
class FittedConstant:
    """One constant before and after; `error` is its relative uncertainty, infinite where the rows do not tell it."""

    name: str
    before: float
    after: float
    error: float

    @property
    def determined(self) -> bool:
        """Whether the rows tell it."""
        return math.isfinite(self.error)


@dataclass(frozen=True, eq=False)
class Fitted:
    """The fit of one file: constants, predictions before and after [s], and the score of both."""

    measured: Measured
    constants: tuple[FittedConstant, ...]
    before_s: tuple[float, ...]
    after_s: tuple[float, ...]

    @property
    def cal(self) -> str:
        """The determined constants as a link carries them."""
        return text_of({c.name: c.after for c in self.constants if c.determined})

    @property
    def scores(self) -> tuple[Score, Score]:
        """How far the model was off before, and is now."""
        seconds = [row.seconds for row in self.measured.rows]
        return score(residuals(self.before_s, seconds)), score(residuals(self.after_s, seconds))

    def rows(self) -> list[dict[str, str]]:
        """Return the constants as a table."""
        return [
            {
                "Constant": f"{KNOBS[c.name].words} ({c.name})",
                "Profile": shown(c.name, c.before),
                "Your machine": shown(c.name, c.after) if c.determined else "–",
                "Uncertainty": f"± {100 * c.error:.2g} %" if c.determined else "these rows do not tell it",
            }
            for c in self.constants
        ]


@lru_cache(maxsize=8)
def fitted(text: str, scenario: Scenario) -> Fitted:
    """Read a file of measurements and fit it; a `ValueError` where there is too little to fit."""
    return fit(read_measurements(text, scenario))


def fit(measured: Measured) -> Fitted:
    """Fit the constants that the rows tell; the others stay as the profile has them.

    A first round, forgiving with outliers, frees every constant; then those whose effect the rows cannot tell from
    the others' go, the least told first, and the rest are fitted again.
    """
    rows = measured.rows
    if len(rows) < LEAST_ROWS:
        few = f"only {len(rows)} measurement{'s' * (len(rows) != 1)}: at least {LEAST_ROWS} are needed to fit"
        raise ValueError("; ".join(measured.problems) or few)
    start = starting_point(rows)
    problem = Problem(rows, start)
    best = min((problem.solve(first, FORGIVING) for first in problem.starts()), key=lambda m: float(np.sum(m.r**2)))
    for _ in range(ROUNDS):
        problem = problem.with_noise(best.r)
        best = problem.solve(best.theta, HUBER, best.slopes)
    names = told(best.slopes, tuple(start), problem.pull)
    free = np.array([name in names for name in start])
    problem.held = ~free
    last = problem.solve(np.where(free, best.theta, problem.origin), HUBER)
    errors = dict(zip(names, _errors(last.slopes[:, free], last.r, problem.pull).tolist(), strict=True))
    found = dict(zip(start, np.exp(last.theta).tolist(), strict=True))
    constants = tuple(FittedConstant(n, start[n], found[n], errors.get(n, math.inf)) for n in start)
    kept = text_of({name: found[name] for name in names})
    return Fitted(measured, constants, tuple(predict(rows, "")), tuple(predict(rows, kept)))


def starting_point(rows: Sequence[Measurement]) -> dict[str, float]:
    """Return the constants of the profile that the rows run under, those above zero."""
    values = constants_of(setup(first_scenario(rows)).engine)
    return {name: min(KNOBS[name].high, value) for name, value in values.items() if value > 0}


def first_scenario(rows: Sequence[Measurement]) -> Scenario:
    """Return the scenario of the first request; for kernels alone, one on their chip under the profile they run on."""
    asked = next((row.asked for row in rows if isinstance(row.asked, Scenario)), None)
    if asked is not None:
        return asked
    gpu = next(row.asked["gpu"] for row in rows if not isinstance(row.asked, Scenario))
    chip = {"gpu": gpu} if isinstance(gpu, str) else {"gpu": CUSTOM, "chip": Chip.model_validate(gpu)}
    return Scenario.model_validate({"engine": ENGINE} | chip)


def predict(rows: Sequence[Measurement], cal: str) -> Vector:
    """Return what the model says for every row with these constants [s]; each scenario is priced once."""
    reports: dict[Scenario, Report] = {}
    times = np.empty(len(rows))
    for index, row in enumerate(rows):
        if not isinstance(row.asked, Scenario):
            own = {} if row.what == "all_reduce" else {"cal": cal}
            times[index] = kernel(dict(row.asked) | own)["time_s"]
            continue
        asked = row.asked.model_copy(update={"cal": cal})
        if row.what == "prefill":
            times[index] = setup(asked).run(prefill(asked.batch, asked.input, asked.prefix)).time_s
            continue
        report = reports.get(asked) or reports.setdefault(asked, estimate(asked))
        times[index] = {"ttft": report.ttft_s, "tpot": report.tpot_s, "e2e": report.e2e_s}[row.what]
    return times


@dataclass(frozen=True, eq=False)
class Minimum:
    """Where a solution stands: ln of the constants, the residuals there, and their slopes."""

    theta: Vector
    r: Vector
    slopes: Vector


class Problem:
    """Residuals of some rows as a function of ln(constants), and their minimum by damped Gauss-Newton steps."""

    def __init__(self, rows: Sequence[Measurement], start: dict[str, float], noise: float = NOISE) -> None:
        """Hold rows, start and bounds; the pull is the square of the noise: a constant known to within a factor e."""
        self.rows, self.start, self.names, self.pull = rows, start, tuple(start), noise**2
        self.seconds = np.array([row.seconds for row in rows])
        self.low, self.high = (np.log([getattr(KNOBS[n], end) for n in self.names]) for end in ("low", "high"))
        self.origin = np.clip(np.log(list(start.values())), self.low, self.high)
        self.held = np.zeros(len(start), dtype=bool)

    def with_noise(self, r: Vector) -> Problem:
        """Return the same problem with the noise that residuals show."""
        return Problem(self.rows, self.start, float(np.clip(1.48 * np.median(np.abs(r)), LEAST_NOISE, NOISE)))

    def starts(self) -> list[Vector]:
        """Return where to begin: at the profile; where a host launches kernels, also at a slower one."""
        slow = np.array([math.log(SLOW_HOST) if name == "host_us" else 0.0 for name in self.names])
        return [self.origin, self.origin + slow] if slow.any() else [self.origin]

    def misses(self, theta: Vector) -> Vector:
        """Return ln(predicted / measured) of every row."""
        values = zip(self.names, np.exp(theta).tolist(), self.held.tolist(), strict=True)
        text = ",".join(f"{name}:{value:.12g}" for name, value, held in values if not held)
        return np.asarray(residuals(predict(self.rows, text), self.seconds))

    def loss(self, r: Vector, theta: Vector, huber: float) -> float:
        """Return Huber's loss with the pull towards the profile."""
        size = np.abs(r)
        each = np.where(size <= huber, r**2, huber * (2.0 * size - huber))
        return float(each.sum() + self.pull * np.sum((theta - self.origin) ** 2))

    def slopes(self, theta: Vector, r: Vector) -> Vector:
        """Return the derivative of every residual by every ln(constant), by differences away from the upper bounds."""
        columns = []
        for index in range(theta.size):
            side = -DIFFERENCE if theta[index] + DIFFERENCE > self.high[index] else DIFFERENCE
            moved = theta.copy()
            moved[index] += side
            columns.append((self.misses(moved) - r) / side)
        return np.column_stack(columns)

    def solve(self, theta: Vector, huber: float, slopes: Vector | None = None) -> Minimum:
        """Return the minimum; slopes are updated after a step, and taken anew when one fails."""
        pull = self.pull * np.where(self.held, FIXED, 1.0)
        r = self.misses(theta)
        best, damping, fresh = self.loss(r, theta, huber), 1e-3, slopes is None
        slopes = self.slopes(theta, r) if slopes is None else slopes
        for _ in range(STEPS):
            weights = np.minimum(1.0, huber / np.maximum(np.abs(r), 1e-12))
            curve = slopes.T @ (weights[:, None] * slopes) + np.diag(pull)
            downhill = slopes.T @ (weights * r) + pull * (theta - self.origin)
            step = -np.linalg.solve(curve + damping * np.diag(np.diag(curve)), downhill)
            tried = np.clip(theta + np.clip(step, -MOST_MOVE, MOST_MOVE), self.low, self.high)
            change = tried - theta
            if np.max(np.abs(change)) < 1e-7:
                break
            moved = self.misses(tried)
            # Broyden: the slopes agree with the step just taken.
            updated = slopes + np.outer(moved - r - slopes @ change, change) / (change @ change)
            value = self.loss(moved, tried, huber)
            if value < best:
                small = best - value < SMALL_GAIN * best
                theta, r, best, damping, slopes, fresh = tried, moved, value, damping / 5.0, updated, False
                if small:
                    break
            elif fresh:
                damping *= 10.0
            else:
                slopes, fresh = self.slopes(theta, r), True
        return Minimum(theta, r, slopes if fresh else self.slopes(theta, r))


def told(slopes: Vector, names: tuple[str, ...], pull: float) -> tuple[str, ...]:
    """Return the constants that the rows tell apart, taking away the least told one at a time.

    >>> told(np.array([[1.0, 0.0], [0.9, 1e-4]]), ("mem", "attn"), 4e-4)
    ('mem',)
    """
    left = list(names)
    while left:
        columns = [names.index(name) for name in left]
        own = slopes[:, columns]
        covariance = np.linalg.inv(own.T @ own + pull * np.eye(len(left)))
        share = np.sqrt(pull * np.diag(covariance))
        worst = int(np.argmax(share))
        if share[worst] < DETERMINED:
            break
        del left[worst]
    return tuple(left)


def _errors(slopes: Vector, r: Vector, pull: float) -> Vector:
    """Return relative standard errors of the free constants."""
    weights = np.minimum(1.0, HUBER / np.maximum(np.abs(r), 1e-12))
    count = slopes.shape[1]
    covariance = np.linalg.inv(slopes.T @ (weights[:, None] * slopes) + pull * np.eye(count))
    spread = math.sqrt(float(np.sum(weights * r**2)) / max(1, r.size - count))
    return np.asarray(spread * np.sqrt(np.diag(covariance)))


@dataclass(frozen=True, slots=True)
class Roofs:
    """Peak [FLOP/s] and bandwidth [B/s] of the data sheet, and what the machine reached of them."""

    chip: str
    dtype: str
    peak: float
    bandwidth: float
    reached_peak: float
    reached_bandwidth: float


def roofs(found: Fitted) -> Roofs:
    """Return the roofline of the data sheet and the fitted one, for the data type of the first row's products."""
    resolved = setup(first_scenario(found.measured.rows))
    peak, bandwidth = float(resolved.rates.flops["linear"]), resolved.chip.memory_bytes_per_s
    reached = {c.name: c.after for c in found.constants}
    numbers = (peak, bandwidth, peak * reached["compute"], bandwidth * reached["mem"])
    return Roofs(resolved.chip.name, resolved.rates.linear, *numbers)


def answer(found: Fitted) -> str:
    """Return in a few sentences what the fit found, and what the rows leave open."""
    before, after = found.scores
    named = f"{found.measured.format}: {before.rows} measurements. The profile as it is misses them by "
    text = f"{named}{off_by(before.median)} in the median; fitted to your machine by {off_by(after.median)}."
    told_ones = sum(c.determined for c in found.constants)
    if before.rows <= told_ones:
        text += " There are as many constants as measurements: they must fit, and none is left to check them."
    names = [KNOBS[c.name].words for c in found.constants if not c.determined]
    return text + (f" What these rows do not tell: {', '.join(names)}." if names else "")


def off_by(error: float) -> str:
    """Return the size of a logarithmic error in words: in percent, a large one as a factor.

    >>> off_by(0.156), off_by(1.75)
    ('16 %', 'a factor of 5.8')
    """
    return f"a factor of {math.exp(error):.1f}" if error > LARGE else f"{significant(100 * error, 2)} %"


def residual_rows(found: Fitted) -> list[dict[str, str]]:
    """Return every measurement with its residuals before and after, the worst first."""
    rows = zip(found.measured.rows, found.before_s, found.after_s, strict=True)
    ordered = sorted(rows, key=lambda row: -abs(math.log(row[2] / row[0].seconds)))
    return [
        {
            "Line": str(row.line),
            "What": row.label,
            "Measured": show(row.seconds, "s"),
            "Fitted": show(after, "s"),
            "Error before": f"{100 * math.log(before / row.seconds):+.0f} %",
            "Error after": f"{100 * math.log(after / row.seconds):+.1f} %",
        }
        for row, before, after in ordered
    ]


def aside_text(found: Fitted) -> str:
    """Return the copies that stayed within the cache, with their bandwidth; nothing where there were none."""
    rates = [(row.asked["bytes"], row.seconds) for row in found.measured.aside if not isinstance(row.asked, Scenario)]
    if not rates:
        return ""
    shown = "; ".join(f"{show(size, 'B')} at {show(size / seconds, 'B/s')}" for size, seconds in rates)
    return f"Copies within the cache, not fitted: {shown}"


def engine_of(found: Fitted) -> str:
    """Return the profile that the constants belong to: that of the first request, "" where only kernels were timed."""
    return next((row.asked.engine for row in found.measured.rows if isinstance(row.asked, Scenario)), "")
