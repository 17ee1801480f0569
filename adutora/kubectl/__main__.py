"""`python -m adutora.kubectl`."""

from adutora.kubectl.plugin import console

console()
