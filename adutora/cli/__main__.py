"""`python -m adutora.cli`."""

from adutora.cli import console

console()
