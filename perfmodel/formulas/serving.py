"""Serving under load: waiting, concurrency, and what lengths that differ do to both."""

from __future__ import annotations

import numpy as np

from perfmodel.formulas.types import Real


def little_concurrency(rate: Real, residence_s: Real) -> Real:
    r"""Mean number of requests in a system: Little's law.

    $$ N = \lambda\,W $$

    Args:
        rate: arrivals, lambda [1/s]
        residence_s: mean time that a request stays, W [s]

    Returns:
        mean number of requests inside [1]

    Validity: any system in a steady state, whatever the order of service.
    Source: Little 1961, Operations Research 9(3).

    >>> little_concurrency(4.0, 2.5)
    10.0
    """
    return rate * residence_s


def closed_rate(batch: Real, request_s: Real) -> Real:
    r"""Requests finished per second with a fixed number in flight.

    $$ X = B / T $$

    Args:
        batch: requests in flight, B [1]
        request_s: time of one request at that concurrency, T [s]

    Returns:
        requests per second [1/s]

    Validity: Little's law read backwards; each finished request is replaced at once.
    Source: Little 1961, Operations Research 9(3).

    >>> closed_rate(16.0, 4.0)
    4.0
    """
    return batch / request_s


def queue_wait(rate: Real, service_s: Real, variation: Real) -> Real:
    r"""Mean wait before one server with random arrivals: Pollaczek and Khinchine.

    $$ W = \frac{\lambda\,S^2\,(1 + c^2)}{2\,(1 - \lambda S)} $$

    Args:
        rate: arrivals, lambda [1/s]
        service_s: mean service time, S [s]
        variation: standard deviation of the service time over its mean, c [1]

    Returns:
        mean time in the queue, service not counted; infinite where the server cannot keep up [s]

    Validity: Poisson arrivals, one server, first come first served, any distribution of the service time.
    Source: Pollaczek 1930, Khinchine 1932; any text on queues (M/G/1).

    >>> round(float(queue_wait(0.5, 1.0, 1.0)), 6), float(queue_wait(1.0, 1.0, 0.0))
    (1.0, inf)
    """
    busy = np.asarray(rate * service_s, dtype=np.float64)
    free = np.where(busy < 1.0, 1.0 - busy, 1.0)
    return np.where(busy < 1.0, busy * service_s * (1.0 + variation**2) / (2.0 * free), np.inf)[()]


def pool_wait(rate: Real, service_s: Real, variation: Real, servers: Real) -> Real:
    r"""Mean wait before several equal servers with one queue.

    $$ W = \frac{1 + c^2}{2}\,\frac{(\lambda S / k)^{\sqrt{2 (k + 1)} - 1}}{k\,(1 - \lambda S / k)}\,S $$

    Args:
        rate: arrivals, lambda [1/s]
        service_s: mean service time, S [s]
        variation: standard deviation of the service time over its mean, c [1]
        servers: servers, k [1]

    Returns:
        mean time in the queue; infinite where the servers cannot keep up [s]

    Validity: Poisson arrivals; exact for one server, within some 10 % for several.
    Source: Sakasegawa 1977 (Ann. Inst. Stat. Math. 29A), with the variance factor of Allen and Cunneen.

    >>> round(float(pool_wait(0.5, 1.0, 1.0, 1.0)), 6), round(float(pool_wait(1.0, 1.0, 0.0, 2.0)), 3)
    (1.0, 0.183)
    """
    busy = np.asarray(rate * service_s / servers, dtype=np.float64)
    safe = np.where(busy < 1.0, busy, 0.0)
    wait = (1.0 + variation**2) / 2.0 * safe ** (np.sqrt(2.0 * (servers + 1.0)) - 1.0) / (servers * (1.0 - safe))
    return np.where(busy < 1.0, wait * service_s, np.inf)[()]


def wait_quantile(mean_s: Real, busy: Real, share: Real) -> Real:
    r"""Wait that a share of the requests does not exceed.

    $$ t_p = \max\bigl(0, \frac{W}{\rho}\,\ln\frac{\rho}{1 - p}\bigr) $$

    Args:
        mean_s: mean wait over all requests, W [s]
        busy: share of the requests that wait at all, rho [1]
        share: share of the requests, p [1]

    Returns:
        quantile of the wait [s]

    Validity: those who wait do so for an exponential time: exact for exponential service, and under heavy load.
    Source: M/M/1; Kingman 1962 for heavy traffic.

    >>> round(float(wait_quantile(1.0, 0.5, 0.95)), 3), float(wait_quantile(1.0, 0.02, 0.95))
    (4.605, 0.0)
    """
    rho = np.maximum(busy, 1e-300)
    return np.maximum(0.0, mean_s / rho * np.log(rho / (1.0 - share)))


def resident_context(prefix: Real, input: Real, output: Real, variation: Real) -> Real:
    r"""Mean context of the sequences in flight, seen at a random moment.

    $$ t = p + n + \frac{T\,(1 + c^2)}{2} $$

    Args:
        prefix: tokens cached before, p [1]
        input: prompt tokens, n [1]
        output: mean tokens generated, T [1]
        variation: standard deviation of the output length over its mean, c [1]

    Returns:
        mean tokens in the cache of one sequence [1]

    Validity: equal time per token, so that a long answer is met in proportion to its length (inspection paradox).
    Source: renewal theory: mean age is E[T^2] / (2 E[T]).

    >>> resident_context(0.0, 2048.0, 256.0, 0.0), resident_context(0.0, 2048.0, 256.0, 1.0)
    (2176.0, 2304.0)
    """
    return prefix + input + output * (1.0 + variation**2) / 2.0


def chunked_rate(step_s: Real, token_s: Real, chunk: Real, input: Real) -> Real:
    r"""Prompts per second that fit into the token budget of the steps.

    $$ r = \frac{C}{n\,(t + C \tau)} $$

    Args:
        step_s: decode part of a step, t [s]
        token_s: time of one prompt token, tau [s]
        chunk: prompt tokens that a step may carry, C [tokens]
        input: prompt tokens of a request, n [tokens]

    Returns:
        prompts per second [1/s]

    Validity: every step carries a full chunk.
    Source: Agrawal et al. 2024 (Sarathi-Serve), arXiv:2403.02310: chunked prefill on top of decode steps.

    >>> chunked_rate(0.01, 1e-05, 1000.0, 500.0)
    100.0
    """
    return chunk / (input * (step_s + chunk * token_s))


def averaging_factor(window: Real) -> Real:
    r"""What is left of the variance of a fluctuating quantity after averaging it over a while.

    $$ f = \frac{2}{x^2}\,(x - 1 + \exp(-x)) $$

    Args:
        window: time averaged over, in correlation times, x [1]

    Returns:
        variance of the average over the variance of the quantity [1]

    Validity: exponential correlation; the number in flight forgets its past within about one request's stay.
    Source: the variance of a time average of an Ornstein-Uhlenbeck process.

    >>> round(float(averaging_factor(1.0)), 4), round(float(averaging_factor(100.0)), 4)
    (0.7358, 0.0198)
    """
    return 2.0 / window**2 * (window - 1.0 + np.exp(-window))


def gated_interval(idle_s: Real, rate: Real, service_s: Real, variation: Real) -> Real:
    r"""Step that a random arrival falls into when each step serves all who came during the one before.

    $$ L = \frac{t}{1 - \lambda S} + \frac{\lambda\,S^2\,(1 + c^2)}{1 - \lambda^2 S^2} $$

    Args:
        idle_s: time of a step that serves nobody, t [s]
        rate: arrivals, lambda [1/s]
        service_s: what each one served adds to a step, S [s]
        variation: standard deviation of the service over its mean, c [1]

    Returns:
        mean length of the step met, E[T^2]/E[T]; infinite where the server cannot keep up [s]

    Validity: Poisson arrivals; from E[T] = t/(1 - rho) and Var T (1 - rho^2) = lambda E[T] E[S^2].
    Source: gated service with vacations, as in polling systems (Takagi 1986).

    >>> round(float(gated_interval(0.01, 10.0, 0.05, 0.0)), 5), float(gated_interval(0.01, 10.0, 0.1, 0.0))
    (0.05333, inf)
    """
    busy = np.asarray(rate * service_s, dtype=np.float64)
    rho = np.where(busy < 1.0, busy, 0.0)
    met = idle_s / (1.0 - rho) + rho * service_s * (1.0 + variation**2) / (1.0 - rho**2)
    return np.where(busy < 1.0, met, np.inf)[()]
