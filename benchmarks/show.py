"""How the scorers print a score."""

from __future__ import annotations

from perfmodel.score import Score

HEAD = f"{'rows':>6}{'median':>9}{'signed':>9}{'p90':>8}{'<15 %':>7}{'<30 %':>7}"


def line(score: Score) -> str:
    """Return the numbers of one group under HEAD."""
    shares = f"{score.within_15:7.0%}{score.within_30:7.0%}"
    return f"{score.rows:6}{score.median:9.1%}{score.signed:+9.1%}{score.p90:8.0%}{shares}"
