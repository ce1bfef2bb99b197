"""Forms with files, for the tests of this folder."""

from __future__ import annotations

import io
from collections.abc import Mapping

import aiohttp


def form(texts: Mapping[str, str], *files: tuple[str, str, bytes]) -> aiohttp.FormData:
    """A multipart/form-data body of texts and files, each a part's name, a file name and a content."""
    data = aiohttp.FormData(texts, default_to_multipart=True)
    for name, filename, content in files:
        data.add_field(name, io.BytesIO(content), filename=filename)
    return data
