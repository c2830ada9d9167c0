"""Make the test vectors of `proto/vectors`: `python -m tests.support.vectors` writes them, `tests/spec` runs them.

Inputs are built from msgpack, hashes and signatures directly, not by the code that they test, so that they say what the
specification says. The form of a file and of each operation is described in proto/vectors/README.md.
"""
