"""The product measured as its users meet it: `./dev bench` prints every figure as a ratio or with its target.

Nothing here is a test: machines are shared and noisy, so figures are compared within one run, against a page with one
slider and one figure on the same machine.
"""
