"""The parts of HDF5 that are read without its library, which believes too much.

The library takes as much memory as a string of any length claims to be long, up to 4 GiB for each: such
attributes are read here. It goes round for ever, taking memory, where the free list of a group's heap is a
circle: that, and a group's tree of names, are looked at here first. By the "HDF5 File Format Specification",
version 3.0; what Keras's files do not have, such as attributes outside headers, is refused.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from .._file import FileFormatError

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_CONTINUATION, _ATTRIBUTE, _SYMBOLS = 0x10, 0x0C, 0x11


class Format:
    """A file of `size` bytes, byte by byte; all strings together may be as long as the file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file = file
        self.size = self.left = size
        self.heaps: dict[int, dict[int, tuple[int, int]]] = {}
        start = self.at(0, 32)
        version = start[8]
        widths, base = (start[13:15], 24 + 4 * version) if version < 2 else (start[9:11], 12)
        if start[:8] != _SIGNATURE or widths != b"\x08\x08" or self.at(base, 8) != bytes(8):
            raise FileFormatError("HDF5 with addresses of another size, or from another base, than Keras's")

    def at(self, offset: int, size: int) -> bytes:
        """Read `size` bytes at `offset`, all of them."""
        if offset + size > self.size:
            raise FileFormatError(f"{size} bytes at {offset} lie outside the file")
        self.file.seek(offset)
        data = self.file.read(size)
        if len(data) < size:
            raise FileFormatError(f"{size} bytes at {offset} lie outside the file")
        return data

    def attribute(self, header: int, name: str) -> list[str]:
        """The strings of an attribute of the object whose header is at an address."""
        for kind, body in self._messages(header):
            found = _Attribute(body) if kind == _ATTRIBUTE else None
            if found and found.name == name.encode():
                return [self._string(*item) for item in found.items()]
        raise FileFormatError(f"attribute {name!r} is not kept as Keras's files keep it")

    def check_group(self, header: int) -> None:
        """Refuse a group whose names the library would never be done with."""
        for kind, body in self._messages(header):
            if kind == _SYMBOLS:
                tree, heap = struct.unpack("<QQ", body[:16])
                self._check_tree(tree)
                self._check_free_list(heap)

    def _check_tree(self, root: int) -> None:
        """Go through the tree of a group's names, each node of which belongs to one place."""
        nodes: list[tuple[int, int | None]] = [(root, None)]
        seen = set()
        while nodes:
            address, above = nodes.pop()
            start = self.at(address, 24)
            level, used = struct.unpack("<BH", start[5:8])
            if start[:5] != b"TREE\0" or address in seen or (above is not None and level != above - 1):
                raise FileFormatError(f"the names of a group, at {root}, are no tree")
            seen.add(address)
            if level:  # a key and a node in turn
                items = struct.iter_unpack("<8xQ", self.at(address + 24, 16 * used))
                nodes += [(child, level) for (child,) in items]

    def _check_free_list(self, heap: int) -> None:
        start = self.at(heap, 32)
        if start[:4] != b"HEAP":
            raise FileFormatError(f"no heap of names is at {heap}")
        size, free, data = struct.unpack("<QQQ", start[8:])
        seen = set()
        while free not in (1, 2**64 - 1):  # the end
            if free in seen or free + 16 > size:
                raise FileFormatError(f"the heap of names at {heap} has a free list that does not end")
            seen.add(free)
            (free,) = struct.unpack("<Q", self.at(data + free, 8))

    def _messages(self, header: int) -> Iterator[tuple[int, bytes]]:
        """The messages of an object header, of version 1 or 2."""
        start = self.at(header, 16)
        if start[0] == 1:
            blocks, form, head = [(header + 16, struct.unpack("<I", start[8:12])[0])], "<HHB3x", 0
        elif start[:5] == b"OHDR\x02":
            flags = start[5]
            at = header + 6 + 16 * bool(flags & 0x20) + 4 * bool(flags & 0x10)
            width = 1 << (flags & 3)
            blocks = [(at + width, int.from_bytes(self.at(at, width), "little"))]
            form, head = ("<BHB2x" if flags & 4 else "<BHB"), 4
        else:
            raise FileFormatError(f"no object header is at {header}")
        left = self.size
        while blocks:
            offset, size = blocks.pop()
            block, at = self.at(offset, size), 0
            left -= size + 16
            if left < 0:
                raise FileFormatError(f"the object header at {header} is larger than the file")
            while at + struct.calcsize(form) <= size:
                kind, length, flags = struct.unpack_from(form, block, at)
                at += struct.calcsize(form)
                body = block[at : at + length]
                at += length
                if kind == _CONTINUATION and len(body) >= 16:
                    offset, more = struct.unpack("<QQ", body[:16])
                    blocks.append((offset + head, max(0, more - 2 * head)))  # "OCHK", and a checksum
                elif not flags & 2:  # 2: it is elsewhere, and shared
                    yield kind, body

    def _string(self, length: int, heap: int, index: int) -> str:
        if not length:
            return ""
        offset, size = self._heap(heap).get(index, (0, 0))
        self.left -= length
        if length > size or self.left < 0:
            raise FileFormatError(f"a string claims {length} bytes; the file holds {size} for it")
        return self.at(offset, length).rstrip(b"\0").decode()

    def _heap(self, address: int) -> dict[int, tuple[int, int]]:
        """Where the objects of a global heap are, and how large, by number."""
        if address not in self.heaps:
            found: dict[int, tuple[int, int]] = {}
            start = self.at(address, 16)
            if start[:8] != b"GCOL\1\0\0\0":
                raise FileFormatError(f"no heap of strings is at {address}")
            at, end = address + 16, address + int.from_bytes(start[8:], "little")
            while at + 16 <= end:
                index, _, size = struct.unpack("<HH4xQ", self.at(at, 16))
                if not index:  # the rest is free
                    break
                if at + 16 + size > end:
                    raise FileFormatError(f"a string of {size} bytes at {at} reaches out of its heap")
                found[index] = at + 16, size
                at += 16 + size + -size % 8
            self.heaps[address] = found
        return self.heaps[address]


class _Attribute:
    """An attribute message."""

    def __init__(self, body: bytes) -> None:
        version, _, *sizes = struct.unpack_from("<BBHHH", body)
        at, parts = (9 if version == 3 else 8), []
        for size in sizes:
            parts.append(body[at : at + size])
            at += size + (-size % 8 if version == 1 else 0)
        self.name, self.type, self.space = parts[0].rstrip(b"\0"), *parts[1:]
        self.data = body[at:]

    def items(self) -> Iterator[tuple[int, int, int]]:
        """For each string its length, the address of its heap, and its number there."""
        if self.type[0] & 15 != 9 or self.type[1] & 15 != 1:  # of any length; strings
            raise FileFormatError(f"attribute {self.name.decode()!r} is not text")
        dimensions, begin = self.space[1], {1: 8, 2: 4}[self.space[0]]
        count = 1
        for n in struct.unpack_from(f"<{dimensions}Q", self.space, begin):
            count *= n
        if count * 16 > len(self.data):
            raise FileFormatError(f"attribute {self.name.decode()!r} claims {count} strings")
        return struct.iter_unpack("<IQI", self.data[: count * 16])  # type: ignore[return-value]
