"""What programs are given: the modules that they can import, what they can know of words."""

MODULES = [
    "abc", "bisect", "collections", "collections.abc", "copy", "dataclasses", "difflib",
    "enum", "fractions", "functools", "heapq", "itertools", "json", "math", "numbers",
    "operator", "random", "re", "statistics", "string", "textwrap", "types", "typing",
    "unicodedata", "numpy", "numpy.fft", "numpy.lib.stride_tricks", "numpy.linalg",
    "numpy.ma", "numpy.polynomial", "numpy.random", "numpy.strings", "numpy.typing",
]  # fmt: skip
"""What a program can import: all loaded before the walls go up, since no file can be
read afterwards."""

TEXT_FIELDS = ("lemma", "upos", "xpos", "morph", "dep", "entity")
"""Word columns of strings that an annotator may know."""

INDEX_FIELDS = ("head", "sentence")
"""Word columns of integers that an annotator may know."""

FIELDS = (*TEXT_FIELDS, *INDEX_FIELDS)
"""Word columns of an annotator; a program is shown those that its text names."""
