"""Input from the network and from files that no one meant: what must hold of any bytes, and bytes that once broke it.

``pytest tests/fuzz`` tries the corpus and some hundred mutations of it; ``python -m tests.fuzz TARGET`` searches on,
guided by coverage.
"""
