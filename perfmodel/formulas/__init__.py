"""Pure functions: a sentence, an equation, symbols with units, validity, source, a doctest."""
