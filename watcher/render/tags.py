"""EXIF tags by number, and which of them a rendition may carry. Source: EXIF 3.0, TIFF 6.0, exiftool's tables."""

ORIENTATION, ARTIST, COPYRIGHT = 0x0112, 0x013B, 0x8298
EXIF, GPS, INTEROP, MAKER_NOTE = 0x8769, 0x8825, 0xA005, 0x927C
COLOUR_SPACE, PIXELS_X, PIXELS_Y, IMAGE_WIDTH, IMAGE_HEIGHT = 0xA001, 0xA002, 0xA003, 0x0100, 0x0101
CHROMA_PLACE, PREVIEW, PREVIEW_SIZE = 0x0213, 0x0201, 0x0202

# What no rendition has, or not as the photo had it; `all` leaves it out.
STALE = {
    *(0x00FE, 0x00FF, 0x0102, 0x0103, 0x0106, 0x0115, 0x011C, 0x0211, 0x0212, 0x0214),  # how pixels are stored
    *(0x0111, 0x0116, 0x0117, 0x0142, 0x0143, 0x0144, 0x0145, 0x014A, PREVIEW, PREVIEW_SIZE),  # where they lie
    *(0x012D, 0x013E, 0x013F, 0x8773, 0xA500),  # their colour: curve, white, primaries, ICC profile, gamma
    *(0x02BC, 0x8649),  # XMP and Photoshop's resources, which tell the same once more
    *(0x9102, 0x9214, 0xA214, 0xA20E, 0xA20F, 0xA210),  # compression, subject's place and sensor's density in pixels
    0x8897,  # Xiaomi: a film is behind the picture
}

# What `safe` keeps: who made the picture, when, with which kind of camera, how exposed. Not on it, on purpose: GPS,
# body and lens serial numbers (A431, A435, C62F), owner (A430), maker note, user comment, unique id, thumbnail.
SAFE_MAIN = {
    *(
        0x010E,
        0x010F,
        0x0110,
        0x011A,
        0x011B,
        0x0128,
        0x0131,
        0x0132,
    ),  # description, make, model, resolution, software, date
    *(ARTIST, COPYRIGHT),
}
SAFE_EXIF = {
    *(0x829A, 0x829D, 0x8822, 0x8827, 0x8830, 0x8831, 0x8832),  # exposure, aperture, program, sensitivity
    *(0x9000, 0x9003, 0x9004, 0x9010, 0x9011, 0x9012, 0x9290, 0x9291, 0x9292),  # version, dates, time zones
    *(
        0x9201,
        0x9202,
        0x9203,
        0x9204,
        0x9205,
        0x9206,
        0x9207,
        0x9208,
        0x9209,
        0x920A,
    ),  # APEX values, flash, focal length
    *(0xA217, 0xA401, 0xA402, 0xA403, 0xA404, 0xA405, 0xA406, 0xA408, 0xA409, 0xA40A),  # sensor, modes, scene
    *(0xA432, 0xA433, 0xA434),  # the lens, not its serial number
}
