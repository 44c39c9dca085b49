"""Hostile input at every door: one list of doors, tried by hypothesis in the tests and by coverage in `./dev fuzz`."""
