"""XMP packets: read as exiftool reads them, and written anew without what no longer holds.

A packet is untrusted XML. What makes XML dangerous is refused before it is parsed (document types, and with them
entities), its size and depth are bounded, and nothing outside of it is ever looked at. Much of what is found in photos
is not quite XML: undeclared prefixes, bare ampersands, other encodings, an end that is missing. So names are
resolved here, and what was read up to an error counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from html import escape
from xml.parsers import expat

_MOST_BYTES = 1 << 20
_MOST_DEPTH = 64
_MOST_SPACES = 200  # declared namespaces; a packet of many programs has thirty
_NO_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_REFERENCE = re.compile(r"&(?!(?:amp|lt|gt|quot|apos);)(#(?:\d{1,7}|x[0-9A-Fa-f]{1,6});)?")
_FIRST = re.compile(r"<(?:\w{1,9}:)?(?:xmpmeta|xapmeta|RDF)\b")
_OPEN = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
_CLOSE = '\n<?xpacket end="w"?>'


_ADOBE, _GOOGLE = "http://ns.adobe.com/", "http://ns.google.com/photos/"
_NAMESPACES = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmp": f"{_ADOBE}xap/1.0/",
    "xmpNote": f"{_ADOBE}xmp/note/",
    "xmpGImg": f"{_ADOBE}xap/1.0/g/img/",
    "stDim": f"{_ADOBE}xap/1.0/sType/Dimensions#",
    "tiff": f"{_ADOBE}tiff/1.0/",
    "exif": f"{_ADOBE}exif/1.0/",
    "exifEX": "http://cipa.jp/exif/1.0/",
    "photoshop": f"{_ADOBE}photoshop/1.0/",
    "hdrgm": f"{_ADOBE}hdr-gain-map/1.0/",
    "hdr_metadata": f"{_ADOBE}hdr-metadata/1.0/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "mwg-rs": "http://www.metadataworkinggroup.com/schemas/regions/",
    "MP": "http://ns.microsoft.com/photo/1.2/",
    "MPRI": "http://ns.microsoft.com/photo/1.2/t/RegionInfo#",
    "MPReg": "http://ns.microsoft.com/photo/1.2/t/Region#",
    "apple-fi": "http://ns.apple.com/faceinfo/1.0/",
    "HDRGainMap": "http://ns.apple.com/HDRGainMap/1.0/",
    "apdi": "http://ns.apple.com/pixeldatainfo/1.0/",
    "GCamera": f"{_GOOGLE}1.0/camera/",
    "GPano": f"{_GOOGLE}1.0/panorama/",
    "GDepth": f"{_GOOGLE}1.0/depthmap/",
    "GImage": f"{_GOOGLE}1.0/image/",
    "GAudio": f"{_GOOGLE}1.0/audio/",
    "Container": f"{_GOOGLE}1.0/container/",
    "Item": f"{_GOOGLE}1.0/container/item/",
    "LImage": "http://ns.leiainc.com/photos/1.0/image/",
    "MiCamera": "http://ns.xiaomi.com/photos/1.0/camera/",
    "OpCamera": "http://ns.oplus.com/photos/1.0/camera/",
}
_PREFIXES = {uri.rstrip("/#"): prefix for prefix, uri in _NAMESPACES.items()}
_DYNAMIC_DEPTH = f"{_GOOGLE}dd/"  # Google's, a dozen of them


@dataclass(slots=True)
class Node:
    """An element. Names are `prefix:local` with the standard prefix of their namespace, whatever the packet uses."""

    name: str
    raw: str  # as the packet has it
    spaces: dict[str, str]  # prefix to namespace
    attributes: dict[str, str] = field(default_factory=dict)  # by raw name
    children: list[Node | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All of its text, without blanks around it."""
        return "".join(child if isinstance(child, str) else child.text for child in self.children).strip()

    def nodes(self) -> Iterator[Node]:
        """Return the elements in it."""
        return (child for child in self.children if isinstance(child, Node))

    def properties(self) -> Iterator[tuple[str, str]]:
        """Return its attributes by their standard names."""
        return ((resolved(raw, self.spaces), value) for raw, value in self.attributes.items() if ":" in raw)


def resolved(raw: str, spaces: dict[str, str]) -> str:
    """Return a name with its namespace's standard prefix; an undeclared one counts as the standard one."""
    prefix, _, local = raw.rpartition(":")
    space = spaces.get(prefix)
    if space is None:
        return raw
    if space.startswith(_DYNAMIC_DEPTH):
        return f"DynamicDepth:{local}"
    return f"{_PREFIXES.get(space.rstrip('/#'), '?' + prefix)}:{local}"


def parse(packet: bytes) -> Node | None:
    """Read a packet; None where there is nothing to be read."""
    text = _text(packet)
    if text is None:
        return None
    top = Node("", "", {})
    path = [top]

    def start(raw: str, attributes: dict[str, str]) -> None:
        if len(path) > _MOST_DEPTH:
            raise ValueError
        declared = {name[6:]: uri for name, uri in attributes.items() if name == "xmlns" or name.startswith("xmlns:")}
        spaces = {**path[-1].spaces, **declared} if declared else path[-1].spaces
        if len(spaces) > _MOST_SPACES:
            raise ValueError
        node = Node(resolved(raw, spaces), raw, spaces, attributes)
        path[-1].children.append(node)
        path.append(node)

    def data(text: str) -> None:
        path[-1].children.append(text)

    parser = expat.ParserCreate("UTF-8")
    parser.buffer_text = True
    parser.StartElementHandler, parser.CharacterDataHandler = start, data
    parser.EndElementHandler = lambda _: path.pop()
    with suppress(expat.ExpatError, ValueError):  # what was read so far counts
        parser.Parse(text.encode(), True)
    return next(top.nodes(), None)


def _text(packet: bytes) -> str | None:
    """Decode a packet, and make XML of it; None where it is none, or one that means harm."""
    start = packet[:4]
    packet = packet[:_MOST_BYTES]
    if start[:2] == b"\0\0" or start == b"\xff\xfe\0\0" or start[1:] == b"\0\0\0":
        text = packet.decode("utf-32-be" if not start[0] else "utf-32-le", "replace")
    elif b"\0" in start[:2] or start[:2] in {b"\xfe\xff", b"\xff\xfe"}:
        text = packet.decode("utf-16-be" if start[0] in {0, 0xFE} else "utf-16-le", "replace")
    else:
        try:
            text = packet.decode()
        except UnicodeDecodeError:
            text = packet.decode("cp1252", "replace")
    first = _FIRST.search(text)
    if first is None or "<!DOCTYPE" in text or "<!ENTITY" in text:
        return None
    return _REFERENCE.sub(_reference, _NO_XML.sub("", text[first.start() :]))


def _reference(found: re.Match[str]) -> str:
    """Keep a reference to a letter; one to none is dropped, and an ampersand that is no reference is one."""
    number = found[1]
    if number is None:
        return "&amp;"
    code = int(number[2:-1], 16) if number[1] == "x" else int(number[1:-1])
    return found[0] if code < 0x110000 and not _NO_XML.match(chr(code)) else ""  # noqa: PLR2004 - Unicode's end


def texts(packet: Node, name: str) -> list[str]:
    """Return the values of a property (`dc:creator`): of a list all, of alternatives in languages the default one."""
    for description in _descriptions(packet):
        for node in description.nodes():
            if node.name == name and (found := _values(node)):
                return found
        for known, value in description.properties():
            if known == name and value.strip():
                return [value.strip()]
    return []


def _descriptions(packet: Node) -> Iterator[Node]:
    tops = [packet] if packet.name == "rdf:RDF" else [node for node in packet.nodes() if node.name == "rdf:RDF"]
    return (description for top in tops for description in top.nodes())


def _values(node: Node) -> list[str]:
    container = next((child for child in node.nodes() if child.name in {"rdf:Seq", "rdf:Bag", "rdf:Alt"}), None)
    if container is None:
        return [node.text] if node.text else []
    items = [child for child in container.nodes() if child.name == "rdf:li" and child.text]
    if container.name == "rdf:Alt":
        items.sort(key=lambda item: item.attributes.get("xml:lang", "").lower() != "x-default")
        items = items[:1]
    return [item.text for item in items]


def written(node: Node) -> bytes:
    """Write a packet."""
    return (_OPEN + _written(node) + _CLOSE).encode()


def _written(node: Node) -> str:
    attributes = "".join(f' {name}="{_quoted(value)}"' for name, value in node.attributes.items())
    inside = "".join(
        escape(child, quote=False) if isinstance(child, str) else _written(child) for child in node.children
    )
    return f"<{node.raw}{attributes}>{inside}</{node.raw}>" if inside else f"<{node.raw}{attributes}/>"


def _quoted(value: str) -> str:
    """Write an attribute's value; line breaks and tabs would be read as blanks."""
    return re.sub("[\t\n\r]", lambda found: f"&#{ord(found[0])};", escape(value))
