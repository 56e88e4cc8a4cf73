"""The index of a tar is that of Python's own reader, where that one reads it."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thresher.data.tars import indexed, member_name

names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=300)
# A name that ends so is one of a folder, whatever the header says of its kind.
names = names.filter(lambda name: not name.endswith("/"))


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@given(members=st.lists(st.tuples(names, st.binary(max_size=1500)), max_size=6, unique_by=lambda each: each[0]))
def test_members_are_where_tarfile_finds_them(form: int, members: list[tuple[str, bytes]]) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            try:
                tar.addfile(entry, io.BytesIO(content))
            except ValueError:  # USTAR has no place for long names
                continue
    content = buffer.getvalue()
    expected: dict[str, tuple[int, int]] = {}
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        for entry in tar:
            if entry.isreg():
                expected.setdefault(member_name(entry.name), (entry.offset_data, entry.size))
    found = indexed(io.BytesIO(content), len(content), "x.tar")
    assert dict(found.members) == expected
    assert (found.cut, found.damage) == ((), None)
