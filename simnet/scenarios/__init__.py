"""One file for each scenario: a function `scene(chance, nodes)`, and what it is about."""
