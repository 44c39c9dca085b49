"""Money, energy and carbon: identities and monotony."""

from itertools import pairwise

import numpy as np
import pytest

from perfmodel import Scenario, estimate
from perfmodel.cost import GRIDS, Tariff, bill, bill_table, busy_share, own_prices, usd

S = Scenario(engine="vllm", batch=32, input=1024, output=256)
REPORTS = [estimate(S.change(gpu=gpu, batch=b)) for gpu in ("h100-sxm", "l40s", "t4") for b in (1, 32)]


def test_input_and_output_pay_for_the_request() -> None:
    """What input and output tokens cost adds up to the request, and that to chip-seconds at the hourly price."""
    for report in REPORTS:
        b = bill(report, Tariff())
        tokens = b.usd_per_million_input * S.input + b.usd_per_million_output * S.output
        np.testing.assert_allclose(tokens, b.usd_per_request * 1e6, rtol=1e-12)
        np.testing.assert_allclose(b.usd_per_request, report.chip_seconds * b.usd_per_hour / 3600, rtol=1e-12)
        np.testing.assert_allclose(b.monthly(100), 100 * b.usd_per_request, rtol=1e-12)


def test_cost_is_monotone_in_the_price() -> None:
    """A higher price, a worse discount, an emptier fleet, a dearer purchase: no cost gets smaller."""
    report = REPORTS[1]

    def request(**fields: object) -> float:
        return bill(report, Tariff(**fields)).usd_per_request  # type: ignore[arg-type]

    ladders = (
        [request(prices={"h100-sxm": p}) for p in (0.0, 1.0, 2.0, 9.0)],
        [request(region=r) for r in (0.5, 1.0, 1.5)],
        [request(terms="reserved", discount=d) for d in (0.6, 0.3, 0.0)],
        [request(terms="owned", busy=b) for b in (1.0, 0.5, 0.1)],
        [request(terms="owned", capital_usd=k, usd_per_kwh=e) for k, e in ((1e4, 0.1), (3e4, 0.1), (3e4, 0.4))],
    )
    for ladder in ladders:
        assert all(a < b for a, b in pairwise(ladder)), ladder


def test_energy_is_never_above_tdp_times_time() -> None:
    """A device draws at most its thermal design power, whatever it does; idle power at least."""
    for report in REPORTS:
        chip = report.setup.chip
        b = bill(report, Tariff(overhead=1.0))
        assert 0 <= busy_share(report) <= 1
        assert 0.2 * chip.tdp_w <= b.power_w <= chip.tdp_w
        assert b.request_j <= chip.tdp_w * report.chip_seconds * (1 + 1e-12)
        np.testing.assert_allclose(b.token_j * S.output, b.request_j, rtol=1e-12)


def test_the_table_says_what_the_bill_says() -> None:
    """Each row has an amount and what it rests on; estimates are called so; a pipeline that idles draws less."""
    rows = {row["of"]: row for row in bill_table(REPORTS[0], Tariff(terms="owned"), 100.0, "ten a day")}
    assert len(rows) == 9
    assert all(row["is"] and row["rests on"] for row in rows.values())
    assert "estimate" in rows["hour of one accelerator"]["rests on"]
    assert "estimate" in rows["power of one accelerator"]["rests on"]
    assert rows["user and month"]["is"] == usd(100 * bill(REPORTS[0], Tariff(terms="owned")).usd_per_request)
    piped = S.change(n=4, pp=4)
    alone, full = (busy_share(estimate(piped.change(mb=parts))) for parts in (1, 4))
    assert alone < 0.3 < full


def test_carbon_follows_the_grid() -> None:
    """Emissions are proportional to the intensity of the grid: India over France is 713/56."""
    france, india = (bill(REPORTS[0], Tariff(grid=GRIDS[name])).request_g for name in ("France", "India"))
    np.testing.assert_allclose(india / france, 713 / 56, rtol=1e-12)


def test_prices_in_a_link() -> None:
    """One's own prices replace list prices; what is no price is named."""
    tariff = Tariff(prices=own_prices("h100=1.5"))
    assert bill(REPORTS[0], tariff).usd_per_hour == 1.5
    assert bill(REPORTS[2], tariff).usd_per_hour == REPORTS[2].setup.chip.usd_per_hour
    assert own_prices("") == own_prices("list") == {}
    for text, said in (("h100", "is no price"), ("h100=-1", "h100-sxm=-1 is not allowed"), ("abacus=1", "abacus")):
        with pytest.raises(ValueError, match=said):
            own_prices(text)


def test_wrong_tariffs_are_named() -> None:
    """A tariff that cannot be is refused with the value and what is allowed."""
    for fields, said in (({"terms": "gift"}, "terms='gift'"), ({"busy": 0.0}, "busy=0.0"), ({"years": 0}, "years=0")):
        with pytest.raises(ValueError, match=said):
            Tariff(**fields)
