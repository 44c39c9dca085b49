"""Money, power and carbon of accelerator time."""

from __future__ import annotations

import numpy as np

from perfmodel.formulas.types import Real


def drawn_power(tdp_w: Real, idle: Real, busy: Real) -> Real:
    r"""Power that one accelerator draws.

    $$ P = D\,(\kappa + (1 - \kappa)\,\min(u, 1)) $$

    Args:
        tdp_w: thermal design power, D [W]
        idle: share of it that an idle device draws, kappa [1]
        busy: share of the time in which arithmetic units or memory work, u [1]

    Returns:
        mean power, never above the thermal design power [W]

    Validity: linear between idle and full; clocks are not lowered.
    Source: the usual two-point model of server power: Fan, Weber, Barroso 2007 (ISCA).

    >>> round(float(drawn_power(700.0, 0.2, 0.5))), float(drawn_power(700.0, 0.2, 3.0))
    (420, 700.0)
    """
    return tdp_w * (idle + (1.0 - idle) * np.minimum(busy, 1.0))


def energy_use(power_w: Real, chip_s: Real, overhead: Real) -> Real:
    r"""Energy of accelerator time, the building included.

    $$ E = P\,c\,\eta $$

    Args:
        power_w: power of one accelerator, P [W]
        chip_s: accelerator time, c [s]
        overhead: energy of the building over that of the devices (PUE), eta [1]

    Returns:
        energy [J]

    Validity: the host's own processors count with the building.
    Source: definition of power usage effectiveness (The Green Grid).

    >>> energy_use(500.0, 2.0, 1.5)
    1500.0
    """
    return power_w * chip_s * overhead


def carbon_mass(energy_j: Real, intensity: Real) -> Real:
    r"""Carbon dioxide equivalent of the energy from a grid.

    $$ m = E\,i / 3600000 $$

    Args:
        energy_j: energy, E [J]
        intensity: emissions of the grid, i [g/kWh]

    Returns:
        mass of CO2 equivalent [g]

    Validity: mean intensity of a year; making the hardware is not counted.
    Source: definition; 1 kWh is 3.6 MJ.

    >>> carbon_mass(3.6e6, 480.0)
    480.0
    """
    return energy_j * intensity / 3600000.0


def owned_price(capital_usd: Real, years: Real, busy: Real, power_w: Real, overhead: Real, usd_per_kwh: Real) -> Real:
    r"""Price of an hour on hardware that one owns: straight-line depreciation and electricity.

    $$ p = \frac{K}{8766\,y\,b} + \frac{P\,\eta\,e}{1000} $$

    Args:
        capital_usd: purchase of one accelerator with its part of server, network and building, K [USD]
        years: time of depreciation, y [1]
        busy: share of the hours that are used, b [1]
        power_w: power of one accelerator, P [W]
        overhead: power usage effectiveness, eta [1]
        usd_per_kwh: price of electricity, e [USD/kWh]

    Returns:
        price of one used hour of one accelerator [USD/h]

    Validity: no rest value, no interest, no staff; unused hours draw no power.
    Source: definition; a year has 8766 h.

    >>> round(float(owned_price(35064.0, 4.0, 0.5, 700.0, 1.5, 0.1)), 3)
    2.105
    """
    return capital_usd / (8766.0 * years * busy) + power_w * overhead * usd_per_kwh / 1000.0


def reserved_price(usd_per_hour: Real, discount: Real, busy: Real) -> Real:
    r"""Price of a used hour when the device is rented for the whole term.

    $$ p = \frac{h\,(1 - d)}{b} $$

    Args:
        usd_per_hour: on-demand price, h [USD/h]
        discount: reduction for the term, d [1]
        busy: share of the hours that are used, b [1]

    Returns:
        price of one used hour of one accelerator [USD/h]

    Validity: paid whether used or not.
    Source: definition.

    >>> reserved_price(4.0, 0.4, 0.8)
    2.9999999999999996
    """
    return usd_per_hour * (1.0 - discount) / busy
