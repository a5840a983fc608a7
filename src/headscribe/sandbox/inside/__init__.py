"""What runs inside the sandbox's processes: the standard library and NumPy, nothing else.

These modules are imported by an interpreter that knows neither the rest of the project nor its
dependencies. None of them may import from outside this folder.
"""
