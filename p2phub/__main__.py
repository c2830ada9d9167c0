"""`python -m p2phub` is the command line."""

from p2phub.cli.main import program

program()
