"""Serving under load: conservation, Little's law, and the formulas against a simulation of the steps."""

from functools import cache

import numpy as np
import pytest

from perfmodel import Scenario, estimate
from perfmodel.explain import evaluate, explain_metric
from perfmodel.serving import PRESETS, Lengths, Service, Simulated, capacity, from_csv, load, replica, simulate
from perfmodel.serving.steady import chain_of

S = Scenario(engine="vllm", input=1024, output=64)
LONG = Scenario(engine="vllm", input=4096, output=64)
#: Scenario, service and share of the capacity of each load that is simulated.
LOADS = tuple(
    (scenario, service, share)
    for scenario, service in (
        (S, Service()),
        (S, Service(schedule="prefill first")),
        (LONG, Service(0.5, 0.5)),
        (LONG, Service(0.5, 0.5, chunk=1024)),
    )
    for share in (0.3, 0.6, 0.8)
)


@cache
def simulated(scenario: Scenario, service: Service, share: float) -> Simulated:
    """One simulation, run once for all tests."""
    return simulate(scenario, service, share * capacity(scenario, service), 4000, seed=1)


def test_littles_law_holds_in_the_simulation() -> None:
    """The number inside, summed over time, equals the times that all requests stayed: N = lambda W."""
    for case in LOADS:
        run = simulated(*case)
        np.testing.assert_allclose(run.area_s, (run.finish_s - run.arrival_s).sum(), rtol=1e-9)


@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"n": 4, "pp": 4},
        {"n": 8, "tp": 2, "pp": 4, "mb": 4},
        {"n": 4, "pp": 2, "dp": 2, "mb": 3},
        {"n": 4, "cp": 2, "tp": 2},
        {"n": 4, "tp": 2, "dp": 2, "adp": True},
    ],
)
def test_costs_are_the_estimates(layout: dict[str, int]) -> None:
    """With equal answers, a replica's first token and time per token are those of `estimate` at that number."""
    scenario = S.change(batch=64, **layout)
    one = replica(scenario, Service(0.0, 0.0, page=1, sequences=32))
    for n in (12, 32):
        report = estimate(scenario.change(batch=n * scenario.dp))
        np.testing.assert_allclose(one.prompt_s[n - 1] + one.opening_s[n - 1], report.ttft_s, rtol=0.01)
        np.testing.assert_allclose(one.tpot_s[n - 1], report.tpot_s, rtol=0.01)
    assert one.devices * one.replicas == scenario.n


def test_schedules_create_no_tokens() -> None:
    """However prompts are cut into chunks, each prompt and answer token is computed exactly once."""
    for case in LOADS:
        run = simulated(*case)
        assert run.answer_tokens == run.output.sum()
    chunks = [simulate(S, Service(chunk=chunk), 2.0, 300, seed=3) for chunk in (0, 100, 1000)]
    assert len({(run.prompt_tokens, run.answer_tokens) for run in chunks}) == 1


def test_formulas_agree_with_the_simulation() -> None:
    """Medians over the loads stay within the error that `load` states: 2 % per token, 12 % to first, 6 % inside."""
    errors = []
    for scenario, service, share in LOADS:
        rate = share * capacity(scenario, service)
        told, run = load(scenario, service, rate), simulated(scenario, service, share)
        inside = rate * (run.finish_s - run.arrival_s)[run.counted].mean()
        first95 = np.quantile(run.time_to_first_s, 0.95)
        errors.append(
            (
                told.token_mean_s[0] / run.time_per_token_s.mean(),
                told.first_mean_s[0] / run.time_to_first_s.mean(),
                told.quantile("first_s", 0.95)[0] / first95,
                (told.in_flight + told.waiting)[0] / inside,
            )
        )
    median = np.median(np.abs(np.log(errors)), axis=0)
    assert np.all(median <= (0.02, 0.12, 0.15, 0.06)), median


def test_admission_agrees_with_the_simulation() -> None:
    """Where the most in flight is the limit, the wait for admission is that of the chain within a third."""
    scenario, service = Scenario(engine="vllm", input=256, output=64), Service(sequences=8)
    rate = 0.85 * capacity(scenario, service)
    run = simulate(scenario, service, rate, 20_000, seed=2)
    told = load(scenario, service, rate)
    np.testing.assert_allclose(told.first_mean_s[0], run.time_to_first_s.mean(), rtol=1 / 3)


def test_chain_has_the_textbook_cases() -> None:
    """One server gives N = rho/(1 - rho), enough servers for all give N = lambda/mu."""
    rates = np.array([0.3, 0.8])
    single = chain_of(rates, np.ones(50))
    np.testing.assert_allclose(single.in_flight + single.waiting, rates / (1 - rates), rtol=1e-9)
    many = chain_of(rates * 10, np.arange(1.0, 200.0))
    np.testing.assert_allclose(many.in_flight, rates * 10, rtol=1e-9)
    np.testing.assert_allclose(many.waiting, 0.0, atol=1e-12)


def test_constant_lengths_are_the_estimate() -> None:
    """With equal requests and n in flight, a replica's time per token and rate are those of `estimate` at batch n."""
    for scenario in (S, S.change(draft="ngram", spec=3)):
        one = replica(scenario, Service(0.0, 0.0, page=1))
        for batch in (1, 8, one.most):
            report = estimate(scenario.change(batch=batch))
            np.testing.assert_allclose(one.tpot_s[batch - 1], report.tpot_s, rtol=1e-4)
            np.testing.assert_allclose(one.rate[batch - 1], batch / report.e2e_s, rtol=1e-4)


def test_nothing_beats_sharing_all_devices() -> None:
    """Small chunks and disaggregation move waiting around; the capacity they leave is never above the plain one."""
    four = S.change(n=4, dp=4, batch=4)
    plain = capacity(four, Service())
    assert capacity(four, Service(schedule="prefill first")) >= capacity(four, Service(schedule="disaggregated"))
    assert capacity(four, Service(chunk=256)) <= capacity(four, Service(chunk=2048)) <= plain * (1 + 1e-12)
    np.testing.assert_allclose(plain, 4 * capacity(S, Service()), rtol=1e-9)


def test_disaggregation_frees_the_tokens_of_prompts() -> None:
    """On pools of their own no prompt stands between two tokens: the time per token is the decode step."""
    four = LONG.change(n=4, dp=4, batch=4)
    rate = 0.5 * capacity(four, Service(schedule="disaggregated"))
    apart, together = (load(four, Service(schedule=how), rate) for how in ("disaggregated", "chunked"))
    assert apart.token_mean_s[0] < together.token_mean_s[0]
    assert apart.replica.sent_bytes > 0


def test_waiting_grows_to_infinity_at_the_capacity() -> None:
    """Times grow with the rate; from the capacity on, requests pile up, and nothing is good any more."""
    most = capacity(S, Service())
    told = load(S, Service(), most * np.array([0.1, 0.5, 0.9, 0.99, 1.0, 2.0]))
    assert np.all(np.diff(told.first_mean_s[:5]) > 0)
    assert np.all(np.diff(told.token_mean_s[:4]) > 0)
    assert np.all(np.isinf(told.first_mean_s[4:]))
    assert np.all(np.isfinite(told.first_mean_s[:4]))
    assert told.goodput(10.0, 1.0)[4] == 0.0
    assert told.goodput(1e9, 1e9)[0] == told.rate[0]


def test_prefix_homes() -> None:
    """One prefix for all leaves room for more requests than one each; what is not kept must be computed again."""
    s = S.change(prefix=8192)
    by_home = {home: replica(s, Service(prefix_home=home)) for home in ("own", "shared", "host", "recomputed")}
    free = {home: replica(s, Service(prefix_home=home, sequences=0)).most for home in ("own", "shared")}
    assert free["shared"] > free["own"]
    assert by_home["recomputed"].prompt_s[0] > 2 * by_home["own"].prompt_s[0]
    assert by_home["host"].load_s > by_home["own"].load_s == 0.0


def test_what_does_not_fit_serves_nothing() -> None:
    """A model too large for its devices has no capacity, and every wait is infinite."""
    big = Scenario(model="llama-3.3-70b", engine="vllm")
    assert capacity(big, Service()) == 0.0
    assert np.isinf(load(big, Service(), 1.0).first_mean_s[0])
    with pytest.raises(ValueError, match=r"not one request of llama-3\.3-70b fits on h100-sxm"):
        simulate(big, Service(), 1.0)


def test_lengths_keep_their_mean() -> None:
    """The points that stand for a distribution have its mean exactly, drawn lengths within sampling error."""
    for mix in PRESETS.values():
        np.testing.assert_allclose(mix.input.points().mean(), mix.input.mean, rtol=1e-12)
        drawn = mix.output.draw(np.random.default_rng(0), 200_000)
        np.testing.assert_allclose(drawn.mean(), mix.output.mean, rtol=0.03)


def test_table_of_lengths() -> None:
    """A table gives the mean and the spread of its columns; what is wrong in it is named with its row."""
    text = "TIMESTAMP,ContextTokens,GeneratedTokens\na,100,10\nb,300,30\n"
    assert from_csv(text) == (Lengths(200.0, 0.5), Lengths(20.0, 0.5), 2)
    for wrong, said in (
        ("input,output\n5,x\n", "row 2: output='x' is not a number"),
        ("input,output\n-5,1\n", "row 2: input='-5' is not allowed"),
        ("a,b\n1,2\n", "no column for the input lengths: the header is 'a, b'"),
        ("input,output\n", "no rows"),
    ):
        with pytest.raises(ValueError, match=said):
            from_csv(wrong)


def test_wrong_services_are_named() -> None:
    """A service that no engine can run is refused with its value and what is allowed."""
    for fields, said in (
        ({"schedule": "random"}, "schedule='random' is not one of chunked"),
        ({"page": 0}, "page=0 is not allowed"),
    ):
        with pytest.raises(ValueError, match=said):
            Service(**fields)
    with pytest.raises(ValueError, match="dp=1 is not allowed: disaggregation needs"):
        capacity(S, Service(schedule="disaggregated"))
    with pytest.raises(ValueError, match="rate must be finite"):
        load(S, Service(), float("nan"))


def test_replicas_do_not_disturb_each_other() -> None:
    """Twice the replicas for twice the requests: first token and time per token stay, throughput doubles."""
    one, two = estimate(S.change(batch=8)), estimate(S.change(batch=16, n=2, dp=2))
    np.testing.assert_allclose(two.ttft_s, one.ttft_s, rtol=1e-12)
    np.testing.assert_allclose(two.tpot_s, one.tpot_s, rtol=1e-12)
    np.testing.assert_allclose(two.tokens_per_s, 2 * one.tokens_per_s, rtol=1e-12)
    card = explain_metric(two, "tpot_s")
    np.testing.assert_allclose(evaluate(card), two.tpot_s, rtol=1e-12)
