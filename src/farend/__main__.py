"""`python -m farend`."""

from farend.cli import main

main(prog_name="farend")
