"""Figures: from a report to a plain dict of data and layout, one file per figure or family of figures."""
