"""What renditions say of themselves: words in every encoding, claims that no longer hold, profiles as others do it."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from tests import photos
from watcher.core.formats import Format
from watcher.core.recipe import Fit, Metadata
from watcher.render.colour import to_srgb
from watcher.render.decoders import describe
from watcher.render.decoders.base import UndecodableError
from watcher.render.decoders.jpeg.markers import parse
from watcher.render.exif import Exif
from watcher.render.metadata import Kept, PhotoMetadata
from watcher.render.xmp import parse as parse_xmp
from watcher.render.xmp import written

SMALL = photos.plain(60, 40)
XMP = b"http://ns.adobe.com/xap/1.0/\0"


def found(*segments: bytes, photo: bytes = SMALL) -> PhotoMetadata:
    data = photos.spliced(photo, *segments)
    return describe(data).metadata


def kept(
    what: PhotoMetadata,
    policy: Metadata = "all",
    form: Format = "jpeg",
    size: tuple[int, int] = (30, 20),
    fit: Fit = "inside",
) -> Kept:
    return what.keep(policy, size, form, whole=fit == "inside")


# ---- author and copyright, from wherever, into EXIF ----


def iptc(*fields: tuple[int, int, bytes], digest: bytes = b"") -> bytes:
    record = b"".join(b"\x1c" + bytes((r, d)) + len(v).to_bytes(2, "big") + v for r, d, v in fields)
    return irb(record, digest)


def irb(record: bytes, digest: bytes = b"") -> bytes:
    resource = b"8BIM\x04\x04\0\0" + len(record).to_bytes(4, "big") + record + bytes(len(record) % 2)
    resource += b"8BIM\x04\x25\0\0\0\0\0\x10" + digest if digest else b""
    return photos.segment(0xED, b"Photoshop 3.0\0" + resource)


def byline(value: bytes, *more: bytes) -> bytes:
    return iptc(*((2, 80, v) for v in (value, *more)), (2, 116, b"(c)"))


def xmp(
    body: str, attributes: str = "", encoding: str = "utf-8", wrapper: bool = False, spaces: str | None = None
) -> bytes:
    """Write a packet of one description."""
    if spaces is None:
        spaces = 'xmlns:dc="http://purl.org/dc/elements/1.1/"'
    text = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" {spaces} {attributes}>{body}</rdf:Description></rdf:RDF></x:xmpmeta>'
    )
    if wrapper:
        text = f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>{text}{" " * 200}<?xpacket end="w"?>'
    return photos.segment(0xE1, XMP + text.encode(encoding))


def creator(*names: str, container: str = "Seq") -> str:
    items = "".join(f"<rdf:li>{name}</rdf:li>" for name in names)
    return f"<dc:creator><rdf:{container}>{items}</rdf:{container}></dc:creator>"


RIGHTS = (
    '<dc:rights><rdf:Alt><rdf:li xml:lang="de">{}</rdf:li>'
    '<rdf:li xml:lang="x-default">{}</rdf:li></rdf:Alt></dc:rights>'
)
INGREDIENT = (
    '<xmpMM:Ingredients xmlns:xmpMM="u"><rdf:Bag><rdf:li rdf:parseType="Resource">{}'
    "</rdf:li></rdf:Bag></xmpMM:Ingredients>"
)
NAME = "Šárka Œuvré"
# segments, author, copyright (None: not looked at), and whether exiftool reads the same
WORDS: dict[str, tuple[tuple[bytes, ...], str, str | None, bool]] = {
    "iptc in ASCII": ((byline(b"Ann"),), "Ann", "(c)", True),
    "iptc in Latin-1": ((byline("Jörg".encode("latin-1")),), "Jörg", None, True),
    "iptc of Windows": ((byline(NAME.encode("cp1252")),), NAME, None, True),
    "iptc of Windows with a code that is none": ((byline(b"A\x81\xe9\x9d"),), "Aé", None, False),
    "iptc in UTF-8, marked": (
        (iptc((1, 90, b"\x1b%G"), (2, 80, "Ødegård 山田".encode())),),
        "Ødegård 山田",
        None,
        True,
    ),
    "iptc in UTF-8, unmarked": ((byline("Jörg".encode()),), "Jörg", None, False),
    "iptc marked as UTF-8 and not": ((iptc((1, 90, b"\x1b%G"), (2, 80, b"J\xf6rg")),), "Jörg", None, False),
    "iptc marked as Latin-1": ((iptc((1, 90, b"\x1b.A"), (2, 80, b"J\xf6rg")),), "Jörg", None, True),
    "iptc with zeros behind": ((byline(b"Ann\0\0"),), "Ann", None, True),
    "iptc of blanks": ((byline(b"   "), xmp(creator("Bo"))), "Bo", None, True),
    "iptc of several authors": ((byline(b"Ann", "Jörg".encode("cp1252")),), "Ann; Jörg", None, True),
    "iptc with an extended size": (
        (irb(b"\x1c\x02\x05\x80\x04\0\0\0\x02ab" + b"\x1c\x02\x50\0\x03Ann"),),
        "Ann",
        None,
        True,
    ),
    "iptc behind another resource": (
        (photos.segment(0xED, b"Photoshop 3.0\0" + b"8BIM\x03\xed\x01x\0\0\0\x03abc\0" + byline(b"Ann")[18:]),),
        "Ann",
        None,
        True,
    ),
    "xmp in UTF-8": ((xmp(creator("Ødegård 山田")),), "Ødegård 山田", None, True),
    "xmp in a wrapper": ((xmp(creator(NAME), wrapper=True),), NAME, None, True),
    "xmp in UTF-16 LE": ((xmp(creator(NAME), wrapper=True, encoding="utf-16-le"),), NAME, None, True),
    "xmp in UTF-16 BE": ((xmp(creator(NAME), wrapper=True, encoding="utf-16-be"),), NAME, None, True),
    "xmp in UTF-32 LE": ((xmp(creator(NAME), wrapper=True, encoding="utf-32-le"),), NAME, None, True),
    "xmp in UTF-32 BE": ((xmp(creator(NAME), wrapper=True, encoding="utf-32-be"),), NAME, None, True),
    "xmp in UTF-16 with a mark, no wrapper": ((xmp(creator(NAME), encoding="utf-16"),), NAME, None, False),
    "xmp in UTF-16, no wrapper, no mark": ((xmp(creator(NAME), encoding="utf-16-be"),), NAME, None, False),
    "xmp with a byte order mark": ((xmp(creator(NAME), encoding="utf-8-sig"),), NAME, None, True),
    "xmp of Windows": ((xmp(creator("Jörg"), encoding="cp1252"),), "Jörg", None, False),
    "xmp of several authors": ((xmp(creator("Ann", "Jörg")),), "Ann; Jörg", None, True),
    "xmp as a bag": ((xmp(creator("Ann", container="Bag")),), "Ann", None, True),
    "xmp as an element": ((xmp("<dc:creator>Ann</dc:creator>"),), "Ann", None, True),
    "xmp as an attribute": ((xmp("", 'dc:creator="Ann &amp; Bo"'),), "Ann & Bo", None, True),
    "xmp as an attribute in single quotes": ((xmp("", "dc:creator='Ann \"A\" Bo'"),), 'Ann "A" Bo', None, True),
    "xmp with references": (
        (xmp(creator("A&#xe9;&#246; &lt;x&gt; &quot;&apos;&amp;amp;")),),
        "Aéö <x> \"'&amp;",
        None,
        True,
    ),
    "xmp with a bare ampersand": ((xmp(creator("Xenia & Co")),), "Xenia & Co", None, True),
    "xmp with an unknown entity": ((xmp(creator("A &copy; B")),), "A &copy; B", None, True),
    "xmp with a reference to no letter": ((xmp(creator("A&#0;&#xFFFF;B")),), "AB", None, False),
    "xmp with CDATA": ((xmp(creator("<![CDATA[Ann <3]]>")),), "Ann <3", None, True),
    "xmp with a comment": ((xmp("<!-- hello -->" + creator("Ann")),), "Ann", None, True),
    "xmp with blanks around": ((xmp(creator("\n   Ann  \n")),), "Ann", None, False),
    "xmp with empty items": ((xmp(creator("", "Ann")),), "Ann", None, False),
    "xmp with another prefix": (
        (xmp(creator("Ann").replace("dc:", "pure:"), spaces='xmlns:pure="http://purl.org/dc/elements/1.1/"'),),
        "Ann",
        None,
        True,
    ),
    "xmp without declared prefixes": ((xmp(creator("Ann"), spaces=""),), "Ann", None, True),
    "xmp with a default namespace": (
        (xmp(f'<creator xmlns="http://purl.org/dc/elements/1.1/">{creator("Ann")[12:-13]}</creator>'),),
        "Ann",
        None,
        False,
    ),
    "xmp with an x-default behind others": ((xmp(RIGHTS.format("Recht", "Right")),), "", "Right", True),
    "xmp with copyright in one language": (
        (xmp('<dc:rights><rdf:Alt><rdf:li xml:lang="de">Recht</rdf:li></rdf:Alt></dc:rights>'),),
        "",
        "Recht",
        False,
    ),
    "xmp that ends early": (
        (xmp(creator("Ann") + "<dc:title>").replace(b"</rdf:Description>", b""),),
        "Ann",
        None,
        False,
    ),
    "xmp with an author of something else": (
        (xmp(INGREDIENT.format(creator("Ann"))),),
        "",
        None,
        True,
    ),
    "xmp's copy of EXIF": (
        (xmp("", 'tiff:Artist="Ann"', spaces='xmlns:tiff="http://ns.adobe.com/tiff/1.0/"'),),
        "Ann",
        None,
        False,
    ),
    "xmp in the second packet": ((photos.segment(0xE1, XMP), xmp(creator("Ann"))), "Ann", None, True),
    "xmp beside iptc of a Mac": ((byline("Jörg".encode("mac-roman")), xmp(creator("Jörg"))), "Jörg", None, True),
    "xmp and iptc that differ": ((byline(b"Old"), xmp(creator("New"))), "New", None, True),
    "iptc that was changed later": ((iptc((2, 80, b"New"), digest=bytes(16)), xmp(creator("Old"))), "New", None, True),
    "iptc that cuts what xmp has whole": (
        (iptc((2, 80, b"A" * 32), digest=bytes(16)), xmp(creator("A" * 40))),
        "A" * 40,
        None,
        True,
    ),
    "xmp is no XML": ((photos.segment(0xE1, XMP + b"<x:xmpmeta <<<>>" + b"\xff" * 90),), "", None, True),
}


def artist(what: PhotoMetadata) -> tuple[str, str]:
    exif = Image.Exif()
    exif.load(b"Exif\0\0" + kept(what, "safe").exif)
    author, rights = (str(exif.get(tag, "")).encode("latin-1").decode() for tag in (0x013B, 0x8298))
    return author, rights


@pytest.mark.parametrize("case", WORDS)
def test_author_and_copyright_are_read_whatever_their_encoding(case: str) -> None:
    segments, author, rights, _ = WORDS[case]
    got = artist(found(*segments))
    assert got[0] == author
    assert rights in {None, got[1]}


@pytest.mark.skipif(not shutil.which("exiftool"), reason="needs exiftool")
def test_author_and_copyright_are_what_exiftool_reads(tmp_path: Path) -> None:
    """Its composite tags of the Metadata Working Group choose between EXIF, IPTC and XMP."""
    for number, (segments, *_) in enumerate(WORDS.values()):
        (tmp_path / f"{number:03}.jpg").write_bytes(photos.spliced(SMALL, *segments))
    command = ["exiftool", "-q", "-j", "-use", "MWG", "-MWG:Creator", "-MWG:Copyright", str(tmp_path)]
    read = {
        int(Path(one["SourceFile"]).stem): one
        for one in json.loads(subprocess.run(command, capture_output=True, check=False).stdout)
    }
    for number, (name, (_, author, rights, same)) in enumerate(WORDS.items()):
        if same:
            got = read[number].get("Creator", "")
            assert ("; ".join(map(str, got)) if isinstance(got, list) else str(got)) == author, name
            assert rights in {None, read[number].get("Copyright", "")}, name


def test_a_text_of_exif_3_is_kept_where_older_readers_find_it() -> None:
    name = "Jörg".encode() + b"\0"
    block = tiff((0x013B, 129, len(name), BEHIND), more=name)
    assert artist(found(photos.segment(0xE1, b"Exif\0\0" + block))) == ("Jörg", "")


def test_a_name_is_never_cut_within_a_letter() -> None:
    name = "é" * 5000  # 10,000 bytes, of which 8,191 are kept
    author, _ = artist(found(xmp(creator(name))))
    assert author == "é" * 4095


@pytest.mark.parametrize(
    "packet",
    [
        b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><x:xmpmeta>&b;</x:xmpmeta>',
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><x:xmpmeta/>',
        b"<x:xmpmeta>" + b"<a>" * 20_000,
        b"<x:xmpmeta>" + b"".join(b'<a xmlns:n%d="u"/>' % i for i in range(3000)),
        b"<x:xmpmeta " + b"".join(b'xmlns:n%d="u" ' % i for i in range(3000)) + b">" + b'<a xmlns:z="v"/>' * 1000,
        b"<x:xmpmeta>" + b"&" * 60_000,
        b"<" * 60_000,
        b"\0" * 60_000,
        b"\xff\xfe\0",
        b"",
    ],
    ids=lambda packet: packet[:24].decode("latin-1"),
)
def test_xml_that_means_harm_costs_nothing_and_fails_nothing(packet: bytes) -> None:
    what = found(photos.segment(0xE1, XMP + packet))
    assert artist(what) == ("", "")
    assert len(kept(what).xmp) < 65_504
    node = parse_xmp(packet)
    assert node is None or b"aaaaa" not in written(node)


# ---- what no longer holds ----

GOOGLE = "http://ns.google.com/photos/1.0/"
SPACES = {
    "GCamera": f"{GOOGLE}camera/",
    "Container": f"{GOOGLE}container/",
    "Item": f"{GOOGLE}container/item/",
    "GDepth": f"{GOOGLE}depthmap/",
    "GImage": f"{GOOGLE}image/",
    "GPano": f"{GOOGLE}panorama/",
    "Device": "http://ns.google.com/photos/dd/1.0/device/",
    "hdrgm": "http://ns.adobe.com/hdr-gain-map/1.0/",
    "HDRGainMap": "http://ns.apple.com/HDRGainMap/1.0/",
    "MiCamera": "http://ns.xiaomi.com/photos/1.0/camera/",
    "xmpNote": "http://ns.adobe.com/xmp/note/",
    "xmpGImg": "http://ns.adobe.com/xap/1.0/g/img/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "mwg-rs": "http://www.metadataworkinggroup.com/schemas/regions/",
    "stDim": "http://ns.adobe.com/xap/1.0/sType/Dimensions#",
    "stArea": "http://ns.adobe.com/xmp/sType/Area#",
}
ITEMS = (
    '<Container:Directory><rdf:Seq><rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="MotionPhoto" '
    'Item:Length="20"/></rdf:li></rdf:Seq></Container:Directory>'
)
PREVIEW = "<xmp:Thumbnails><rdf:Alt><rdf:li><xmpGImg:image>/9j/4AAQ</xmpGImg:image></rdf:li></rdf:Alt></xmp:Thumbnails>"
REGIONS = (
    '<mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:AppliedToDimensions stDim:w="60" stDim:h="40"/>'
    '<mwg-rs:RegionList><rdf:Bag><rdf:li><rdf:Description mwg-rs:Name="Ann"><mwg-rs:Area stArea:x="0.5"/>'
    "</rdf:Description></rdf:li></rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>"
)


def claims(body: str = "", attributes: str = "", spaces: dict[str, str] = SPACES) -> bytes:
    declared = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in spaces.items())
    return xmp(body, f"{attributes} xmp:Rating='5'", spaces=declared)


@pytest.mark.parametrize(
    "claim",
    [
        'GCamera:MotionPhoto="1"',
        'GCamera:MotionPhotoPresentationTimestampUs="968644"',
        'GCamera:MicroVideoOffset="200000"',
        'MiCamera:XMPMeta="&lt;subimage offset=&quot;4711&quot;/&gt;"',
        'GDepth:Format="RangeInverse"',
        'GImage:Mime="image/jpeg"',
        'hdrgm:Version="1.0"',
        'HDRGainMap:HDRGainMapVersion="65536"',
        'xmpNote:HasExtendedXMP="0123456789ABCDEF0123456789ABCDEF"',
        'photoshop:ICCProfile="Adobe RGB (1998)"',
        'photoshop:LegacyIPTCDigest="00000000000000000000000000000000"',
        'exif:SubjectArea="30 20 5 5"',
        'exif:FocalPlaneXResolution="2000/1"',
        'tiff:Compression="6"',
        ITEMS,
        PREVIEW,
        "<GCamera:MotionPhoto>1</GCamera:MotionPhoto>",
        "<Device:Profiles><rdf:Seq/></Device:Profiles>",
        "<exif:SubjectArea><rdf:Seq><rdf:li>30</rdf:li></rdf:Seq></exif:SubjectArea>",
    ],
)
def test_what_is_gone_with_the_photo_is_gone_from_xmp(claim: str) -> None:
    segment = claims(claim) if claim.startswith("<") else claims(attributes=claim)
    packet = kept(found(segment)).xmp
    name = claim.lstrip("<").partition("=")[0].partition(">")[0]
    assert name.encode() + b">" not in packet
    assert name.encode() + b"=" not in packet
    assert b'xmp:Rating="5"' in packet
    aliased = segment.replace(name.partition(":")[0].encode() + b":", b"other:").replace(
        b"xmlns:" + name.partition(":")[0].encode() + b"=", b"xmlns:other="
    )
    packet = kept(found(photos.segment(0xE1, aliased[4:]))).xmp
    assert b"other:" + name.partition(":")[2].encode() not in packet
    assert b'xmp:Rating="5"' in packet or b'other:Rating="5"' in packet


@pytest.mark.parametrize(
    ("claim", "wanted"),
    [
        ('tiff:Orientation="6"', 'tiff:Orientation="1"'),
        ("<tiff:Orientation>6</tiff:Orientation>", "<tiff:Orientation>1</tiff:Orientation>"),
        ("<tiff:Orientation> 6 </tiff:Orientation>", "<tiff:Orientation>1</tiff:Orientation>"),
        ('tiff:ImageWidth="60"', 'tiff:ImageWidth="30"'),
        ("<exif:PixelYDimension>40</exif:PixelYDimension>", "<exif:PixelYDimension>20</exif:PixelYDimension>"),
        ('exif:ColorSpace="65535"', 'exif:ColorSpace="1"'),
        ('GPano:FullPanoWidthPixels="6000"', 'GPano:FullPanoWidthPixels="3000"'),
        ("<GPano:CroppedAreaTopPixels>10</GPano:CroppedAreaTopPixels>", "<GPano:CroppedAreaTopPixels>5</GPano:"),
        ('GPano:ProjectionType="equirectangular"', 'GPano:ProjectionType="equirectangular"'),
        ('GCamera:BurstID="b"', 'GCamera:BurstID="b"'),
        (REGIONS, 'stDim:w="30" stDim:h="20"'),
        ("<dc:title>a &lt; &amp; b\u2028</dc:title>", "<dc:title>a &lt; &amp; b\u2028</dc:title>"),
        ('dc:title="a&#10;&quot;b"', 'dc:title="a&#10;&quot;b"'),
        ("<dc:format>image/jpeg</dc:format>", "<dc:format>image/webp</dc:format>"),
    ],
)
def test_what_changed_is_set_right_in_xmp_and_the_rest_stays(claim: str, wanted: str) -> None:
    segment = claims(claim) if claim.startswith("<") else claims(attributes=claim)
    assert wanted in kept(found(segment), form="webp").xmp.decode()


def test_places_in_a_picture_do_not_survive_a_crop_or_a_turn() -> None:
    segment = claims(REGIONS, 'GPano:FullPanoWidthPixels="6000"')
    turned = found(photos.segment(0xE1, b"Exif\0\0" + tiff((0x0112, 3, 1, b"\6\0"))), segment)
    cropped = kept(found(segment), fit="cover", size=(20, 20))
    for packet in (kept(turned, size=(20, 30)).xmp, cropped.xmp):
        assert b"mwg-rs" not in packet
        assert b"GPano" not in packet
        assert b"Rating" in packet


def test_a_packet_in_utf_16_is_written_in_utf_8_and_one_that_is_too_long_is_left_out() -> None:
    assert (
        b'xmp:Rating="5"' in kept(found(xmp("", 'xmp:Rating="5"', "utf-16", spaces=f'xmlns:xmp="{SPACES["xmp"]}"'))).xmp
    )
    grows = xmp(creator('"&gt;' * 8000).replace("creator", "title"), "", "utf-8")
    assert kept(found(grows)).xmp == b"" or len(kept(found(grows)).xmp) <= 65_504


def test_iptc_keeps_words_and_loses_sizes_and_previews() -> None:
    fields = (
        (1, 90, b"\x1b%G"),
        (2, 90, b"Berlin"),
        (2, 131, b"L"),
        (2, 202, b"\xff\xd8preview"),
        (3, 20, b"\x17\x70"),
    )
    record = kept(found(iptc(*fields))).iptc
    assert b"Berlin" in record
    assert b"preview" not in record
    assert b"\x1c\x02\x83" not in record
    assert b"\x1c\x03" not in record
    assert b"crop" not in record


@pytest.mark.parametrize("form", ["webp", "avif", "png"])
def test_all_moves_author_and_copyright_into_exif_where_a_format_has_no_iptc(form: Format) -> None:
    fields = ((2, 80, b"J\xf6rg"), (2, 116, b"(c)"))
    note = b"NOTE" * 8
    for exif in ((), (photos.segment(0xE1, b"Exif\0\0" + with_note(note)),)):
        got = kept(found(*exif, iptc(*fields)), form=form)
        read = Image.Exif()
        read.load(b"Exif\0\0" + got.exif)
        assert read[0x013B] == "Jörg".encode().decode("latin-1")
        assert read[0x8298] == "(c)"
        if exif:
            assert got.exif.find(note) == with_note(note).find(note)
            assert read[0x010F] == "A"


# ---- EXIF, in place ----


def tiff(*entries: tuple[int, int, int, bytes], more: bytes = b"", order: str = "<", following: int = 0) -> bytes:
    """Write a block of one directory; a value of more than four bytes is an offset that the caller knows."""
    out = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 8) + struct.pack(order + "H", len(entries))
    out += b"".join(struct.pack(order + "HHI", tag, kind, n) + value.ljust(4, b"\0") for tag, kind, n, value in entries)
    return out + struct.pack(order + "I", following) + more


def with_note(note: bytes) -> bytes:
    """Write a block with a maker note behind a sub-directory."""
    sub = 8 + 2 + 24 + 4
    below = (
        struct.pack("<H", 1) + struct.pack("<HHII", 0x927C, 7, len(note), sub + 2 + 12 + 4 + 40) + bytes(4 + 40) + note
    )
    return tiff((0x010F, 2, 2, b"A\0"), (0x8769, 4, 1, struct.pack("<I", sub)), more=below)


BEHIND = struct.pack("<I", 8 + 2 + 12 + 4)
# an Orientation entry, what it says (libvips, ImageMagick and exiftool agree on these), as the eight of EXIF
TURNS = {
    "SHORT": (tiff((0x0112, 3, 1, b"\6\0")), 6),
    "SHORT in Motorola's order": (tiff((0x0112, 3, 1, b"\0\6"), order=">"), 6),
    "two SHORTs": (tiff((0x0112, 3, 2, b"\6\0\1\0")), 6),
    "three SHORTs elsewhere": (tiff((0x0112, 3, 3, BEHIND), more=b"\6\0\6\0\6\0"), 6),
    "LONG": (tiff((0x0112, 4, 1, b"\6")), 6),
    "BYTE": (tiff((0x0112, 1, 1, b"\6")), 6),
    "SBYTE": (tiff((0x0112, 6, 1, b"\6")), 6),
    "SSHORT": (tiff((0x0112, 8, 1, b"\6")), 6),
    "SLONG": (tiff((0x0112, 9, 1, b"\6")), 6),
    "RATIONAL": (tiff((0x0112, 5, 1, BEHIND), more=struct.pack("<II", 6, 1)), 6),
    "ASCII": (tiff((0x0112, 2, 2, b"6\0")), 6),
    "none": (tiff((0x0112, 3, 0, b"\6")), 1),
    "zero": (tiff((0x0112, 3, 1, b"\0")), 1),
    "nine": (tiff((0x0112, 3, 1, b"\x09")), 1),
    "first of two entries": (tiff((0x0112, 3, 1, b"\6"), (0x0112, 3, 1, b"\3")), 6),
}


@pytest.mark.parametrize("case", TURNS)
def test_an_orientation_of_any_type_and_count_is_applied_and_reset(case: str) -> None:
    block, orientation = TURNS[case]
    what = found(photos.segment(0xE1, b"Exif\0\0" + block))
    assert what.exif.orientation == orientation
    done = kept(what).exif
    order = "<" if done[:2] == b"II" else ">"
    count = struct.unpack_from(order + "H", done, 8)[0] if done else 0
    entries = [struct.unpack_from(order + "HHIHH", done, 10 + 12 * i) for i in range(count)]
    assert [entry[1:] for entry in entries if entry[0] == 0x0112] in ([(3, 1, 1, 0)], [])


@pytest.mark.parametrize(
    ("segments", "orientation"),
    [
        ((tiff((0x0112, 3, 1, b"\6")), tiff((0x0112, 3, 1, b"\3"))), 6),
        ((b"junk", tiff((0x0112, 3, 1, b"\6"))), 6),
        ((tiff((0x0112, 3, 1, b"\6")), b"a long maker note goes on here"), 6),
    ],
)
def test_of_exif_given_twice_the_first_counts(segments: tuple[bytes, ...], orientation: int) -> None:
    what = found(*(photos.segment(0xE1, b"Exif\0\0" + block) for block in segments))
    assert what.exif.orientation == orientation
    assert kept(what).exif.count(b"II*\0") == 1


def test_all_leaves_out_of_exif_what_no_longer_holds_and_moves_nothing() -> None:
    block = photos.exif_block()[6:]
    exif = Image.Exif()
    exif.load(b"Exif\0\0" + block)
    ifd = exif.get_ifd(0x8769)
    ifd[0x9214], ifd[0xA20E], ifd[0x9102], ifd[0xA500] = (1, 2, 3, 4), 2000.0, 4.0, 2.2
    ifd[0xA001], ifd[0xA005] = 0xFFFF, {1: "R03", 2: b"0100"}
    exif[0x8773], exif[0x0103], exif[0x0213] = b"an ICC profile", 6, 2
    block = exif.tobytes()[6:]
    done = kept(found(photos.segment(0xE1, b"Exif\0\0" + block))).exif
    read = Image.Exif()
    read.load(b"Exif\0\0" + done)
    detail = read.get_ifd(0x8769)
    assert not {0x9214, 0xA20E, 0x9102, 0xA500} & detail.keys()
    assert not {0x8773, 0x0103} & read.keys()
    assert (detail[0xA001], detail[0xA002], detail[0xA003], read[0x0213]) == (1, 30, 20, 1)
    assert read.get_ifd(0xA005)[1] == "R98"
    assert detail[0xA430] == "Olive Owner"
    note = b"MAKERNOTE" * 8
    assert done.find(note) == block.find(note) > 0


@pytest.mark.parametrize(
    ("orientation", "own", "fit", "stays"),
    [(1, 1, "inside", True), (6, 1, "inside", False), (1, 1, "cover", False), (1, 6, "inside", False)],
)
def test_a_thumbnail_stays_where_it_shows_the_same(orientation: int, own: int, fit: Fit, stays: bool) -> None:
    block = photos.exif_block(orientation)[6:]
    if own != 1:  # in the place of its compression
        at = block.rindex(struct.pack("<HHIH" if block[:2] == b"II" else ">HHIH", 0x0103, 3, 1, 6))
        order = "<" if block[:2] == b"II" else ">"
        block = block[:at] + struct.pack(order + "HHIHH", 0x0112, 3, 1, own, 0) + block[at + 12 :]
    done = kept(found(photos.segment(0xE1, b"Exif\0\0" + block)), fit=fit).exif
    assert (b"\xff\xd8\xff" in done) is stays


def test_no_exif_block_however_broken_fails_a_photo() -> None:
    """Every byte that steers is overwritten once with each of a few values."""
    block = photos.exif_block(6)[6:]
    ends = [*range(140), *range(len(block) - 8, len(block))]
    for at in ends:
        for value in (0, 8, 255):
            what = found(photos.segment(0xE1, b"Exif\0\0" + block[:at] + bytes((value,)) + block[at + 1 :]))
            for policy in ("safe", "all"):
                for form in ("jpeg", "avif"):
                    done = kept(what, policy, form, size=(20, 30)).exif
                    assert len(done) < 65_528
                    assert Exif(done).orientation == 1


# ---- colour profiles, as others use them (measured: Chromium 156, libvips 8.14, ImageMagick 6.9, exiftool 12.57) ----

ADOBE = photos.icc("adobe")
HALF = len(ADOBE) // 2


def chunk(number: int, count: int, body: bytes) -> bytes:
    return photos.segment(0xE2, b"ICC_PROFILE\0" + bytes((number, count)) + body)


PROFILES = {
    "in one": ((chunk(1, 1, ADOBE),), True),
    "in two": ((chunk(1, 2, ADOBE[:HALF]), chunk(2, 2, ADOBE[HALF:])), True),
    "out of order": ((chunk(2, 2, ADOBE[HALF:]), chunk(1, 2, ADOBE[:HALF])), True),
    "given twice": ((chunk(1, 1, ADOBE),) * 2, True),
    "given twice, the second another": ((chunk(1, 1, ADOBE), chunk(1, 1, photos.icc("p3"))), True),
    "two parts given twice": ((chunk(1, 2, ADOBE[:HALF]), chunk(2, 2, ADOBE[HALF:])) * 2, True),
    "counts of zero": ((chunk(1, 0, ADOBE),), True),
    "numbers from zero": ((chunk(0, 2, ADOBE[:HALF]), chunk(1, 2, ADOBE[HALF:])), True),
    "a count too high": ((chunk(1, 2, ADOBE),), True),
    "a count too low": ((chunk(1, 1, ADOBE[:HALF]), chunk(2, 1, ADOBE[HALF:])), True),
    "all called the first": ((chunk(1, 1, ADOBE[:HALF]), chunk(1, 1, ADOBE[HALF:])), True),
    "bytes behind it": ((chunk(1, 1, ADOBE + b"xxxx"),), True),
    "half of it missing": ((chunk(1, 2, ADOBE[:HALF]),), False),
    "an empty part": ((chunk(1, 1, b""),), False),
    "for CMYK": ((chunk(1, 1, ADOBE[:16] + b"CMYK" + ADOBE[20:]),), False),
    "for grey": ((chunk(1, 1, photos.icc("grey")),), False),
    "no profile at all": ((chunk(1, 1, b"x" * 500),), False),
}


@pytest.mark.parametrize("case", PROFILES)
def test_a_profile_is_used_however_it_is_cut_and_numbered(case: str) -> None:
    segments, used = PROFILES[case]
    flat = photos.jpeg(Image.new("RGB", (16, 16), (200, 125, 60)), quality=100, subsampling=0)
    what = found(*segments, photo=flat)
    colour = to_srgb(Image.new("RGB", (1, 1), (200, 125, 60)), what.profile).getpixel((0, 0))
    assert colour == ((223, 126, 52) if used else (200, 125, 60))


def test_a_grey_photo_with_a_colour_profile_is_converted_by_its_curve() -> None:
    wide = photos.icc("adobe").replace(photos._gamma(2.19922), photos._gamma(1.8))
    assert to_srgb(Image.new("L", (1, 1), 128), wide).getpixel((0, 0)) == pytest.approx(147, abs=2)
    assert to_srgb(Image.new("L", (1, 1), 128), wide).mode == "L"
    assert to_srgb(Image.new("L", (1, 1), 128), photos.icc("srgb")).getpixel((0, 0)) == 128


@pytest.mark.parametrize(
    ("space", "index", "adobe"),
    [(2, None, True), (0xFFFF, "R03", True), (1, "R03", False), (0xFFFF, None, False), (0xFFFF, "R98", False)],
)
def test_adobe_rgb_is_known_by_what_cameras_write_instead_of_a_profile(
    space: int, index: str | None, adobe: bool
) -> None:
    exif = Image.Exif()
    ifd = exif.get_ifd(0x8769)
    ifd[0xA001] = space
    if index:
        ifd[0xA005] = {1: index, 2: b"0100"}
    assert bool(found(photos.segment(0xE1, exif.tobytes())).profile) is adobe


# ---- bounds ----


def test_metadata_segments_are_kept_in_bounded_number_and_others_not_at_all() -> None:
    tiny = [photos.segment(0xE1, b""), photos.segment(0xE2, b"MPF\0"), photos.segment(0xED, b"x")] * 3000
    real = photos.segment(0xE1, b"Exif\0\0" + tiff((0x0112, 3, 1, b"\6\0")))
    header = parse(photos.spliced(SMALL, *tiny, real))
    assert len(header.metadata) == 1
    header = parse(photos.spliced(SMALL, *[photos.segment(0xE1, b"Exif\0\0")] * 5000))
    assert len(header.metadata) == 1000


@pytest.mark.parametrize(
    "segments",
    [
        photos.segment(0xE0, b"JFIF\0" + bytes(60_000)) * 20,
        photos.segment(0xEE, b"Adobe" + bytes(7)) * 1001,
        b"\xff\xe1\0\2" * 50_001,
    ],
)
def test_a_header_without_end_is_refused(segments: bytes) -> None:
    with pytest.raises(UndecodableError, match="more than"):
        parse(photos.spliced(SMALL, segments))


def test_fill_bytes_and_junk_before_a_marker_are_passed_over() -> None:
    plain = parse(SMALL)
    for junk in (b"\xff" * 300_000, b"\xff\0" * 300_000, b"x\0\xff\0" * 300_000):
        assert parse(SMALL[:2] + junk + SMALL[2:]).scan == plain.scan + len(junk)
