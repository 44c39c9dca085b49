"""The search: its points are estimates, its winner is found by brute force, its front is not dominated, it can stop."""

import itertools

import numpy as np
import pytest

from perfmodel import Scenario, estimate
from perfmodel.cost import Tariff, busy_share
from perfmodel.search import REASONS, Answer, Need, Study, fleets, search, space_of, whole
from perfmodel.search import study as study_module
from perfmodel.serving import Service, load
from perfmodel.serving.first import first_token
from tests.test_pages import run

ASKED = Scenario(model="llama-3.1-8b", input=512, output=128)
SPACE = space_of(
    ASKED,
    gpus=("h100-sxm", "l40s", "t4", "mi300x"),
    groups=(1, 2),
    batches=(1, 4, 16, 64, 256),
    engines=("vllm", "eager"),
)
NEED = Need(users=300, first_s=1.0, tokens_per_s=40)


@pytest.fixture(scope="module")
def study() -> Study:
    """The small space, priced once."""
    return whole(SPACE)


def test_points_are_estimates(study: Study) -> None:
    """Every point has the time per token, throughput and memory that `estimate` gives for its scenario."""
    for point in range(0, study.points, 7):
        combination = study.combinations[study.index[point]]
        report = estimate(combination.scenario(ASKED, 2, int(study.columns["batch"][point])))
        found = {name: float(column[point]) for name, column in study.columns.items()}
        np.testing.assert_allclose(found["tpot_s"], report.tpot_s, rtol=1e-9)
        np.testing.assert_allclose(2 * found["tokens_per_s"], report.tokens_per_s, rtol=1e-9)
        np.testing.assert_allclose(found["memory_bytes"], report.memory.total, rtol=1e-9)
        assert bool(study.fits[point]) == report.memory.fits


def test_winner_by_brute_force(study: Study) -> None:
    """Nobody can do it for less: every combination, batch and count is tried one by one."""
    best = np.inf
    for combination, batch in itertools.product(SPACE.combinations(), SPACE.batches):
        report = estimate(combination.scenario(ASKED, 1, batch))
        same = np.array([c == combination for c in study.combinations])[study.index]
        batch = max(batch, combination.mb)
        point = int(np.flatnonzero(same & (study.columns["batch"] == batch))[0])
        good = report.memory.fits and report.tpot_s * NEED.tokens_per_s <= 1
        good = good and study.columns["first95_s"][point] <= NEED.first_s
        replicas = next(n for n in itertools.count(1) if n * batch >= NEED.users)
        price = replicas * combination.devices * report.setup.chip.usd_per_hour
        best = min(best, price if good else np.inf)
    winner = Answer(study, NEED).offers()[0]
    np.testing.assert_allclose(winner.usd_per_hour, best, rtol=1e-12)
    assert winner.replicas * winner.batch >= NEED.users


def test_pipelines_where_a_group_is_crowded() -> None:
    """A model too large for eight devices gets stages, one micro-batch each, and its points are estimates too."""
    asked = Scenario(model="llama-3.1-405b", input=512, output=64, cp=2, n=2)
    space = space_of(asked, gpus=("a100-sxm-80gb", "b200-sxm"), batches=(1, 8, 64))
    found = whole(space)
    stages = {(c.gpu, c.weights, c.tp, c.pp) for c in found.combinations if c.pp > 1}
    assert stages == {
        ("a100-sxm-80gb", "bf16", 8, 2),
        ("a100-sxm-80gb", "bf16", 8, 4),
        ("a100-sxm-80gb", "fp8", 8, 2),
        ("b200-sxm", "bf16", 8, 2),
    }
    for point in np.flatnonzero(found.of("pp") > 1):
        report = estimate(found.combinations[found.index[point]].scenario(asked, 3, int(found.columns["batch"][point])))
        np.testing.assert_allclose(found.columns["tpot_s"][point], report.tpot_s, rtol=1e-9)
        np.testing.assert_allclose(3 * found.columns["tokens_per_s"][point], report.tokens_per_s, rtol=1e-9)
        np.testing.assert_allclose(found.columns["memory_bytes"][point], report.memory.total, rtol=1e-9)
        np.testing.assert_allclose(found.columns["busy"][point], busy_share(report), rtol=1e-9)
    sixteen_bit = Answer(found, Need(users=64, first_s=0, tokens_per_s=1)).offers(10, each=99)
    best = next(o for o in sixteen_bit if (o.combination.gpu, o.combination.weights) == ("a100-sxm-80gb", "bf16"))
    assert best.combination.pp > 1


def test_every_point_has_one_reason(study: Study) -> None:
    """Feasible points and those excluded, each for its first reason, are all points."""
    strict = Need(users=300, first_s=0.2, tokens_per_s=60, budget=30, most=8, vendor="NVIDIA")
    for need in (NEED, strict, Need(per_hour=60)):
        answer = Answer(study, need)
        assert answer.feasible.sum() + answer.excluded.total() == study.points + study.impossible.total()
        assert set(answer.excluded) <= set(REASONS) | set(study.impossible)
    assert all(o.combination.gpu != "mi300x" for o in Answer(study, strict).offers())


def test_front_is_not_dominated(study: Study) -> None:
    """No point that fits is better than a point of the front in one way and no worse in the other."""
    answer = Answer(study, NEED)
    speed = 1.0 / study.columns["tpot_s"]
    for over in ("device", "dollar"):
        gain, front = answer.throughput(over), answer.front(over)
        usable = study.fits & np.isfinite(gain)
        for point in front:
            beats = (speed >= speed[point]) & (gain >= gain[point]) & ((speed > speed[point]) | (gain > gain[point]))
            assert not (beats & usable).any()
        assert np.all(np.diff(gain[front]) > 0)
        assert np.all(np.diff(speed[front]) < 0)


def test_a_harder_need_never_costs_less(study: Study) -> None:
    """More users, an earlier first token, more tokens per second, a higher price: the answer never gets cheaper."""
    base = Answer(study, NEED).offers()[0].usd_per_hour
    harder = (
        Need(users=600, first_s=1.0, tokens_per_s=40),
        Need(users=300, first_s=0.3, tokens_per_s=40),
        Need(users=300, first_s=1.0, tokens_per_s=80),
        Need(users=300, first_s=1.0, tokens_per_s=40, tariff=Tariff(region=1.2)),
    )
    for need in harder:
        assert all(offer.usd_per_hour >= base for offer in Answer(study, need).offers())


def test_random_arrivals_leave_room(study: Study) -> None:
    """Replicas for a random stream can serve it: the steady state at this rate is finite and meets the times."""
    need = Need(users=2000, per_hour=30, first_s=1.0, tokens_per_s=40)
    best = Answer(study, need).offers()[0]
    scenario = best.combination.scenario(ASKED, best.replicas)
    told = load(scenario, Service(1.0, 0.0, sequences=0), need.rate)
    assert np.isfinite(told.first_mean_s[0])
    assert told.token_mean_s[0] <= 1 / need.tokens_per_s * 1.02


def test_closed_form_of_the_first_token() -> None:
    """The closed form of the search agrees with the samples of `load` within 15 % in the mean and 25 % at 95 %."""
    scenario = Scenario(engine="vllm", input=1024, output=256)
    service = Service()
    for share in (0.2, 0.5, 0.8):
        told = load(scenario, service, share * 20.0)
        at = round(float(told.in_flight[0])) - 1
        one = told.replica
        mean, p95 = first_token(share * 20.0, one.prompt_s[at], one.held_s[at], one.step_s[at], float(one.shape.std()))
        np.testing.assert_allclose(mean, told.first_mean_s[0], rtol=0.15)
        np.testing.assert_allclose(p95, told.quantile("first_s", 0.95)[0], rtol=0.25)


def test_search_streams_and_stops() -> None:
    """Results come block by block, and what was priced before stopping is a study of its own."""
    stream = search(SPACE)
    first = next(stream)
    stream.close()
    assert 0 < first.done < first.total == len(SPACE.combinations())
    assert first.study().points == sum(len(SPACE.batches) for p in first.priced if p.values is not None)
    assert Answer(first.study(), NEED).offers()


def test_fleets_multiply(study: Study) -> None:
    """Independent replicas multiply users, tokens, devices and power, and nothing else."""
    found = fleets(study, [1, 7])
    for name in ("devices", "users", "tokens_per_s", "power_w"):
        np.testing.assert_allclose(found[name][:, 1], 7 * found[name][:, 0], rtol=1e-12)
    assert np.all(found["power_w"][:, 0] <= study.devices * study.chip_number("tdp_w") * (1 + 1e-12))


@pytest.mark.parametrize("by_address", [False, True])
def test_cluster_gives_the_same(by_address: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers of a Dask cluster find bit for bit what one process finds, in the same order.

    They talk over TCP, but stay in this process: starting others takes minutes on a busy machine.
    """
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(study_module, "LOCAL", study_module.LOCAL | {"processes": False, "protocol": "tcp://"})
    space = space_of(ASKED, gpus=("h100-sxm", "l40s"), groups=(1, 2, 4), batches=(1, 8))
    monkeypatch.setattr(study_module, "BLOCK", 5)
    here = whole(space)
    if by_address:
        with distributed.LocalCluster(**study_module.LOCAL) as cluster:
            there = whole(space, cluster.scheduler_address)
            assert len(cluster.workers) == 2
    else:
        there = whole(space, "dask")
    assert here.combinations == there.combinations
    for name, column in here.columns.items():
        np.testing.assert_array_equal(column, there.columns[name])


def test_wrong_questions_are_named(study: Study) -> None:
    """An empty space, an unknown cluster and an impossible need are refused by name."""
    with pytest.raises(ValueError, match="the space is empty"):
        whole(space_of(ASKED, gpus=()))
    with pytest.raises(ValueError, match="cluster='spark' is not allowed"):
        whole(SPACE, "spark")
    with pytest.raises(ValueError, match="users=0 is not allowed"):
        Need(users=0)
    with pytest.raises(ValueError, match="goal='fun' is not one of price, devices, energy"):
        Need(goal="fun")  # type: ignore[arg-type]
    assert not Answer(study, Need(users=10, tokens_per_s=1e6)).offers()


def test_a_fleet_beyond_one_scenario_is_not_taken() -> None:
    """Ten million users need more devices than a scenario has: the page says so instead of offering to use them."""
    app = run("pages/30_Sizing.py", {"model": "llama-3.1-8b", "users": "10000000", "first": "0", "speed": "30"})
    button = next(b for b in app.button if b.label == "Use this configuration")
    assert button.disabled
    assert "is not allowed" in button.help or "less than" in button.help
    assert not app.exception
