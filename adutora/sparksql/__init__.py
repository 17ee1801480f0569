"""A statement in DuckDB's dialect, translated for Spark; or refused, with the place and what would be right.

Pure: no engine is started. Only what gives the same rows on both engines is let through: nodes and functions stand in
lists, and the conformance tests run each of them on both.
"""

from adutora.sparksql.refusal import Refused
from adutora.sparksql.translate import Statement, translate

__all__ = ["Refused", "Statement", "translate"]
