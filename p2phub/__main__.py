"""`python -m p2phub` is the command line."""

from p2phub.cli.entry import program

program()
