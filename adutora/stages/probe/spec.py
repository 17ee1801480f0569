"""`probe`: is a connection there, and does it accept our credentials?"""

from pydantic import Field

from adutora.spec.base import Spec
from adutora.spec.scalars import ResourceName


class Probe(Spec):
    """Reach a connection and log in. Not reachable is temporary; refused credentials are not."""

    connection: ResourceName = Field(description="Connection of any type")
