"""How families of models write their config.json, and how accelerators are described. One file, one noun.

`families.py` is the registry: a family is one entry there. `special.py` holds what single families say in a way of
their own, `parts.py` and `layers.py` what all of them share, `chip.py` the accelerators, `text.py` the limits.
"""
