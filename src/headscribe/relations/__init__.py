"""The relation language: one readable line over a query and a key, parsed, checked, evaluated."""

from headscribe.relations.attributes import ATTRIBUTES, Attribute
from headscribe.relations.cells import Cells
from headscribe.relations.language import Evaluator, Relation, parse

__all__ = ["ATTRIBUTES", "Attribute", "Cells", "Evaluator", "Relation", "parse"]
