"""The one numeric type of the formulas: a float or an array of float64, on the same path."""

from __future__ import annotations

from typing import Any, TypeAlias

#: float or numpy float64 array; arrays broadcast against each other.
Real: TypeAlias = Any
