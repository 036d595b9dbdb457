# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Rows of a damaged SQLite file, read page by page (https://www.sqlite.org/fileformat2.html).

SQLite itself finds rows through the pages above them and stops where one of those is damaged or
lies beyond a cut. The rows lie in leaf pages that describe themselves, so that each whole leaf can
be read without the rest; recorders only append, so that no leaf holds rows that were deleted.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from edgevl_training.bags.walk import FileData

_LEAF = 13
_HEADER_BYTES = 100
_BLOCK_PAGES = 256
_DEFAULT_PAGE_BYTES = 4096
_INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}

Value = int | bytes | str | None


class Row(NamedTuple):
    """
    A row of any table; the kinds of its columns tell which table it is.

    ``kinds`` has one letter for each column: n NULL, i integer, f float, b blob, t text.
    """

    rowid: int
    kinds: str
    cell: Cell

    def head(self) -> list[Value]:
        """Give the columns that lie in the leaf itself; large ones are cut."""
        return _values(self.cell.types, self.cell.local[self.cell.head_bytes:])

    def whole(self, limit: int) -> list[Value] | None:
        """Give all columns in full; None when a page of them is missing or they are too large."""
        payload = self.cell.pages.payload(self.cell, limit)
        return None if payload is None else _values(
            self.cell.types, payload[self.cell.head_bytes:])


class Cell(NamedTuple):
    """What a leaf holds of a row: the types of its columns, and its first bytes."""

    pages: Pages
    types: list[int]
    head_bytes: int
    payload_bytes: int
    local: bytes
    overflow: int


class Pages:
    """The pages of a file that may be damaged anywhere."""

    def __init__(self, data: FileData, page_bytes: int = 0) -> None:
        """Take the file; the size of a page is read from it unless it is given."""
        self._data = data
        header = data.read(0, _HEADER_BYTES)
        stated = int.from_bytes(header[16:18], 'big')
        stated = 65536 if stated == 1 else stated
        sound = 512 <= stated <= 65536 and not stated & (stated - 1)
        self.page_bytes = page_bytes or (stated if sound else _DEFAULT_PAGE_BYTES)
        reserved = header[20] if len(header) == _HEADER_BYTES and header[20] <= 64 else 0
        self._usable = self.page_bytes - reserved
        self.count = data.size // self.page_bytes
        self.stated_count = int.from_bytes(header[28:32], 'big')
        self.number = 0

    def rows(self) -> Iterator[Row]:
        """Give the rows of all tables in the order of their pages; ``number`` is the page."""
        block_bytes = _BLOCK_PAGES * self.page_bytes
        for start in range(0, self._data.size, block_bytes):
            block = self._data.read(start, start + block_bytes)
            for offset in range(0, len(block), self.page_bytes):
                self.number = (start + offset) // self.page_bytes + 1
                header = _HEADER_BYTES if self.number == 1 else 0
                if block[offset + header:offset + header + 1] == bytes([_LEAF]):
                    yield from self._leaf(block[offset:offset + self.page_bytes], header)

    def payload(self, cell: Cell, limit: int) -> bytes | None:
        """Collect a row from its leaf and the pages that it continues on."""
        if cell.payload_bytes > limit:
            return None
        pieces, missing, page = [cell.local], cell.payload_bytes - len(cell.local), cell.overflow
        while missing > 0:
            start = (page - 1) * self.page_bytes
            piece = self._data.read(start, start + self._usable) if page > 1 else b''
            if len(piece) < 4 + min(missing, self._usable - 4):
                return None
            page = int.from_bytes(piece[:4], 'big')
            pieces.append(piece[4:4 + missing])
            missing -= len(pieces[-1])
        # The last page says that no other follows.
        return None if page and len(pieces) > 1 else b''.join(pieces)

    def _leaf(self, page: bytes, header: int) -> Iterator[Row]:
        count = int.from_bytes(page[header + 3:header + 5], 'big')
        first = header + 8
        if not 0 < count <= (len(page) - first) // 6:
            return
        for i in range(count):
            start = int.from_bytes(page[first + 2 * i:first + 2 * i + 2], 'big')
            if first + 2 * count <= start < self._usable:
                row = self._row(page, start)
                if row is not None:
                    yield row

    def _row(self, page: bytes, start: int) -> Row | None:
        payload_bytes, start = _varint(page, start)
        rowid, start = _varint(page, start)
        local_bytes = self._local_bytes(payload_bytes)
        local = page[start:start + local_bytes]
        if len(local) != local_bytes or not local or start + local_bytes > self._usable:
            return None
        overflow = 0
        if local_bytes < payload_bytes:
            overflow = int.from_bytes(page[start + local_bytes:start + local_bytes + 4], 'big')
        head_bytes, position = _varint(local, 0)
        if not position <= head_bytes <= len(local):
            return None
        types = []
        while position < head_bytes:
            kind, position = _varint(local, position)
            types.append(kind)
        if position != head_bytes or payload_bytes != head_bytes + sum(map(_length, types)):
            return None
        cell = Cell(self, types, head_bytes, payload_bytes, local, overflow)
        return Row(rowid, ''.join(map(_kind, types)), cell)

    def _local_bytes(self, payload_bytes: int) -> int:
        """How much of a row its leaf holds."""
        if payload_bytes <= self._usable - 35:
            return payload_bytes
        least = (self._usable - 12) * 32 // 255 - 23
        some = least + (payload_bytes - least) % (self._usable - 4)
        return some if some <= self._usable - 35 else least


def rows_of(path: Path) -> Iterator[tuple[Pages, Row]]:
    """Give the rows of a file, with the pages that they are on."""
    with path.open('rb') as stream:
        pages = Pages(FileData(stream))
        for row in pages.rows():
            yield pages, row


def _values(types: list[int], content: bytes) -> list[Value]:
    values: list[Value] = []
    position = 0
    for kind in types:
        piece = content[position:position + _length(kind)]
        position += _length(kind)
        if kind in _INTEGER_BYTES:
            values.append(int.from_bytes(piece, 'big', signed=True))
        elif kind in (8, 9):
            values.append(kind - 8)
        elif kind >= 13 and kind % 2:
            values.append(piece.decode(errors='replace'))
        else:
            values.append(piece if kind >= 12 else None)
    return values


def _kind(kind: int) -> str:
    if kind >= 12:
        return 't' if kind % 2 else 'b'
    return {0: 'n', 7: 'f', 10: '?', 11: '?'}.get(kind, 'i')


def _length(kind: int) -> int:
    if kind >= 12:
        return (kind - 12) // 2
    return 8 if kind == 7 else _INTEGER_BYTES.get(kind, 0)


def _varint(content: bytes, position: int) -> tuple[int, int]:
    """Read an integer of one to nine bytes; return it and where it ends."""
    value = 0
    for i, byte in enumerate(content[position:position + 9]):
        if i == 8:
            return value << 8 | byte, position + 9
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, position + i + 1
    return 0, len(content) + 1
