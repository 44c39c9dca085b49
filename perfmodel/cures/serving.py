"""How requests are served: devices, layout, speculative decoding, batch."""

from __future__ import annotations

from perfmodel.cures.cure import Change, Cure, do, no
from perfmodel.cures.numerics import DRAFT, relatives
from perfmodel.diagnosis.case import case_of
from perfmodel.diagnosis.flips import flip
from perfmodel.estimate import cached_estimate
from perfmodel.layouts import WORDS, layouts
from perfmodel.scenario import Scenario
from perfmodel.speculative import MTP, NGRAM, NONE

#: With more devices there are hundreds of layouts: too many to try on every change.
MOST_DEVICES = 16
#: Tokens drafted where the scenario says none.
DRAFTED = 4
#: A copied token is accepted less often than one of a trained draft: an estimate for answers that quote the prompt.
LOOKUP_ACCEPT = 0.4


def layout(s: Scenario) -> Change:
    """Take the layout of as many devices with the shortest time per token."""
    if s.n == 1:
        return no("one device has nothing to divide")
    if s.n > MOST_DEVICES:
        return no(f"more than {MOST_DEVICES} devices: the Parallelism page ranks their layouts")
    best = next(iter(layouts(s, (s.n,)).ranked("latency")), None)
    if best is None:
        return no(f"no layout of {s.n} devices holds")
    if best.fields.items() <= {name: getattr(s, name) for name in best.fields}.items():
        return no(f"{best.label} is the fastest layout of {s.n} devices already")
    return do(best.label, **best.fields)


def _scaled(s: Scenario, n: int) -> Change:
    """Return the scenario on n devices: wider tensor parallelism if the heads allow it, else replicas, else stages."""
    problems = []
    for name in ("tp", "dp", "pp"):
        width, rest = divmod(getattr(s, name) * n, s.n)
        if rest:
            continue
        try:
            s.change(**{"n": n, name: width})
        except ValueError as error:
            problems.append(str(error))
        else:
            return do(f"{n:,} devices instead of {s.n:,}: {WORDS[name]} {width}", **{"n": n, name: width})
    return no(problems[0] if problems else f"{s.n} devices cannot be halved")


def more_devices(s: Scenario) -> Change:
    """Take twice the devices."""
    return _scaled(s, 2 * s.n)


def fewer_devices(s: Scenario) -> Change:
    """Take half of the devices: less to wait for, and less to pay."""
    return no("one device is the least") if s.n == 1 else _scaled(s, s.n // 2)


def _drafted(s: Scenario, draft: str, what: str, most: float = 1.0) -> Change:
    if s.draft != NONE and s.spec:
        return no(f"tokens are drafted already: {s.draft}")
    tokens, accept = s.spec or DRAFTED, min(s.accept, most)
    return do(f"{tokens} tokens drafted by {what}, {accept:.0%} accepted", draft=draft, spec=tokens, accept=accept)


def draft_model(s: Scenario) -> Change:
    """Let the smallest model of the family draft."""
    found = relatives(s.resolved_model, DRAFT)
    if not found:
        return no("the catalogue has no model of this vocabulary small enough to draft")
    return _drafted(s, found[-1].id, found[-1].name)


def prediction_head(s: Scenario) -> Change:
    """Let one more layer draft."""
    return _drafted(s, MTP, "one more layer")


def lookup(s: Scenario) -> Change:
    """Copy drafts from the text so far."""
    return _drafted(s, NGRAM, "copying from the text", LOOKUP_ACCEPT)


def _batch(s: Scenario, batch: int, said: str) -> Change:
    if batch <= s.batch:
        return no(f"the batch of {s.batch:,} is there already")
    return do(said, batch=batch)


def flipping_batch(s: Scenario) -> Change:
    """Batch up to where decoding waits for something else."""
    found = flip(case_of(s, "decode"), "batch").more
    if found is None:
        return no("no larger batch changes what decoding waits for")
    batch = int(found.value)
    return _batch(s, batch, f"batch {batch:,}: from here on decoding waits for {found.regime}")


def largest_batch(s: Scenario) -> Change:
    """Batch up to the memory of the device."""
    most = cached_estimate(s).memory.largest_batch
    if not most:
        return no("not even one sequence fits")
    most = min(most, 1_000_000)
    return _batch(s, most, f"batch {most:,}: as many as fit")


def smaller_batch(s: Scenario) -> Change:
    """Serve half as many at once."""
    half = max(1, s.dp, s.batch // 2)
    return do(f"batch {half:,}", batch=half) if half < s.batch else no("the batch is as small as it gets")


CURES = (
    Cure("layout", "A better layout", "network", "none", layout),
    Cure("more", "Twice the devices", "memory", "none; twice the rent", more_devices),
    Cure("fewer", "Half of the devices", "network", "none; longer times for less rent", fewer_devices),
    Cure("draft", "Speculative decoding: draft model", "memory", "none: every token is verified", draft_model),
    Cure(
        "mtp",
        "Speculative decoding: MTP or EAGLE",
        "memory",
        "none; the layer has to be trained",
        prediction_head,
    ),
    Cure("ngram", "Speculative decoding: n-gram", "memory", "none; pays where answers repeat the prompt", lookup),
    Cure("less", "A smaller batch", "compute", "none; fewer tokens for the same rent", smaller_batch),
    Cure("flip", "A batch at the flip", "memory", "none; each request takes longer", flipping_batch),
    Cure("most", "The largest batch", "memory", "none; each request takes longer", largest_batch),
)
