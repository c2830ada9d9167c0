"""The tests of p2phub. A package so that `tests.support` can be imported from any of them, and from the demo."""
