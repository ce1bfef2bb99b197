"""The text collection of the examples: sentences of the Tao Te Ching, each under an id such as ``64.2``."""

from collections import Counter
from pathlib import Path

BOOK = Path(__file__).parent / "data" / "tao_te_ching.txt"


def sentences() -> dict[str, str]:
    """The sentences in their order; the id is the chapter and a number within it."""
    found: dict[str, str] = {}
    numbers: Counter[str] = Counter()
    for line in BOOK.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            chapter, _, sentence = line.partition("\t")
            numbers[chapter] += 1
            found[f"{chapter}.{numbers[chapter]}"] = sentence
    return found
