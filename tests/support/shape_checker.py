"""The checker of shapes and types that every module is imported under in tests."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
"""Checks a call's arguments and result; where a float is asked for, an int will do (PEP 484)."""
