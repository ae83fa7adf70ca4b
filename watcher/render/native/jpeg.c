/*
 * A JPEG decoder for ordinary photos, at full, half, quarter and eighth size, and a walk that says whether a photo is whole.
 *
 * Rules of this file
 * 1. Its pixels are those of libjpeg-turbo's defaults, bit for bit: the "islow" inverse DCT and its reduced forms,
 *    "fancy" upsampling, its conversion of colour. Where C and SIMD code of libjpeg-turbo may differ (values that no
 *    encoder writes), the file is declined. Sources: ITU-T T.81; for the integers, libjpeg's documented fixed-point
 *    constants. The code is our own.
 * 2. It declines rather than guesses: what it does not know is DECLINED, and another decoder has its way.
 * 3. A file is WHOLE only if every block was decoded from its own data, every code stands in its table, restart markers
 *    come in order, nothing but padding is left over, and the end marker follows.
 * 4. Input is read through `Bits` and `Cursor` alone, and both check their end before each read. Tables are indexed by
 *    a number of bits that is smaller than they are, by a byte where they hold 256, or after a check on the line above.
 *    Sizes are computed in 64 bits and refused before memory is taken. A row of blocks is written to the rows of its
 *    component's plane, which are as wide as all its blocks; `plane_row` gives no row but the picture's, `emit` neither.
 *    `convert` alone goes past a row: by up to 7 pixels, to where the next row is to be, or to BEHIND.
 * 5. No state outlives a call but the address of one of Python's functions: calls from several threads do not meet.
 * 6. C11 and its library, and the vectors of GCC and clang. Three operations on these have SSE2's instructions, which
 *    every x86-64 processor has, and plain C elsewhere; all else is the same everywhere.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SSE2__) && !defined(JPEG_PLAIN)
#include <emmintrin.h>
#define SIMD 1
#else
#define SIMD 0
#endif

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "written for little-endian processors: on others Pillow decodes"
#endif

#define EXPORT __attribute__((visibility("default")))
#define NOINLINE __attribute__((noinline))
#define LIKELY(x) __builtin_expect(!!(x), 1)

enum { WHOLE, TRUNCATED, DAMAGED, DECLINED };

/* What was met, and how it is said. */
#define EACH_REASON(X)                                                                                                 \
    X(NOTHING, "") /* it is whole */                                                                                   \
    X(NO_MEMORY, "not enough memory") X(NOT_JPEG, "not a JPEG") X(HEADER_ENDS, "it ends inside its header")            \
    X(BAD_HEADER, "a broken header") X(BAD_FRAME, "a broken frame header") X(BAD_SCAN, "a broken scan header")         \
    X(BAD_TABLE, "a broken table") X(NO_TABLE, "a table is missing") X(CODING, "its coding")                           \
    X(PRECISION, "its precision") X(CHANNELS, "its channels") X(SAMPLING, "its sampling")                              \
    X(COLOUR, "its colour space") X(PROGRESSIVE, "progressive") X(SEVERAL_SCANS, "several scans")                      \
    X(COMPONENT_ORDER, "its components are out of order")                                                              \
    X(TOO_LARGE, "too large") X(TOO_MANY_SCANS, "too many scans") X(SCAN_ORDER, "its scans are out of order")          \
    X(EXTREME, "extreme values") X(NO_HEIGHT, "its height is not told") X(SCALE, "no such scale")                      \
    X(DATA_ENDS, "its data ends early") X(NO_END, "its end marker is missing") X(SCANS_MISSING, "scans are missing")   \
    X(BAD_CODE, "a code that is in no table") X(RUN_PAST, "a run past the end")                                        \
    X(EARLY_MARKER, "a marker where none belongs") X(EARLY_END, "its end marker comes early")                          \
    X(RESTART, "a restart marker out of order") X(LEFT_OVER, "data left over")                                         \
    X(SECOND_PICTURE, "a second picture inside it") X(ZEROS, "zeros where data is missing")                            \
    X(TOO_BRIGHT, "a brightness that no picture has")
#define NAME(name, text) name,
#define TEXT(name, text) text,
typedef enum { EACH_REASON(NAME) } Reason;
static const char *const REASONS[] = {EACH_REASON(TEXT)};

typedef struct {
    int32_t state, reason;
    int32_t width, height, channels, scans; /* of the frame, in pixels */
    int64_t done, total;                    /* blocks that were decoded from their own data, and that there should be */
    void *image;                            /* an `Image`, or NULL */
} Report;

typedef struct {
    const uint8_t *next, *end;
} Cursor;

/* ---- Bits: entropy-coded data, without its stuffed zeros, up to the next marker ---------------------------------- */

typedef struct {
    const uint8_t *next, *end;
    uint64_t bits; /* the next bits, first one at the top; what lies below the first `count` is the same data again */
    int count;     /* how many may be taken */
    int past;      /* how many of all that were put in are zeros from behind the end */
} Bits;

static uint64_t load64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, 8);
    return __builtin_bswap64(value);
}

static NOINLINE void refill_slowly(Bits *b)
{
    b->bits = b->count ? b->bits & ~(UINT64_MAX >> b->count) : 0;
    while (b->count <= 55) {
        uint64_t byte = 0;
        if (b->next < b->end && *b->next != 0xFF)
            byte = *b->next++;
        else if (b->end - b->next >= 2 && b->next[1] == 0) {
            byte = 0xFF;
            b->next += 2;
        } else
            b->past += 8;
        b->bits |= byte << (56 - b->count);
        b->count += 8;
    }
}

/* Have at least 56 bits at hand. */
static inline void refill(Bits *b)
{
    if (LIKELY(b->end - b->next >= 8)) {
        uint64_t value = load64(b->next);
        if (LIKELY(!((~value - 0x0101010101010101u) & value & 0x8080808080808080u))) { /* none of its bytes is 0xFF */
            b->bits |= value >> b->count;
            b->next += (63 - b->count) >> 3;
            b->count |= 56;
            return;
        }
    }
    Bits slow = *b; /* a copy, so that `b` itself may live in registers */
    refill_slowly(&slow);
    *b = slow;
}

static inline void drop(Bits *b, int count)
{
    b->bits <<= count;
    b->count -= count;
}

/* Take 1 to 16 bits; they must be at hand. */
static inline int take(Bits *b, int count)
{
    int value = (int)(b->bits >> (64 - count));
    drop(b, count);
    return value;
}

static inline int ran_out(const Bits *b) { return b->count < b->past; }

#define MOST_PADDING 64 /* bytes: some encoders fill up */

/* End a segment: go to the marker behind it. Returns whether nothing but padding was left over. */
static int end_segment(Bits *b)
{
    drop(b, (b->count - b->past) & 7);
    for (int bytes = 0;; bytes++) {
        refill(b);
        if (b->count - b->past < 8)
            return 1;
        int byte = take(b, 8);
        if ((byte != 0 && byte != 0xFF) || bytes == MOST_PADDING)
            return 0;
    }
}

/* ---- Huffman tables ---------------------------------------------------------------------------------------------- */

#define FAST 11 /* bits */
#define DOUBLE 11
#define AT_ONCE 5 /* look-ups of DOUBLE bits for which one `refill` is enough */
#define END 128   /* an advance that ends a block */
_Static_assert(AT_ONCE * DOUBLE <= 56, "more bits than a refill has at hand");

/*
 * An entry of `one` is a whole symbol, with the bits of its value where there is room for them:
 *     bits 0..5 how many bits it takes, 0: look it up slowly; bit 7: `value` is how many bits of a value are to follow
 *     bits 8..15 by how many coefficients it advances, or END
 *     bits 16..31 value
 * An entry of `two` is one such symbol or two: bits 0..5 how many bits they take, 0: none; bits 6..10 the advance of
 *     the first, bits 11..17 of both; bits 18..25, 26..31 their values. Where there is one, both are at the same place.
 *     Both advance by 64 more where that ends the block. If the first ends it, that is a zero which counts for nothing.
 */
typedef struct {
    uint8_t counts[17], symbols[256];
    uint8_t given, built, paired;
    uint32_t limit[17]; /* the first 16 bits that are no code of up to so many bits */
    int32_t offset[17]; /* from a code of so many bits to its symbol */
    uint32_t one[1 << FAST];
    uint32_t two[1 << DOUBLE];
} Huffman;

typedef struct {
    int id, h, v, quantiser;        /* as in the frame header */
    int64_t across, down;           /* blocks: what the picture needs */
    int64_t wide, high;             /* blocks: whole MCUs */
    int dc, ac;                     /* tables of the current scan */
    int64_t predicted, step;        /* brightness of the last block, and of what its unit is; 0: not told */
    int seen;                       /* sequential: its scan was read */
    int8_t known[64];               /* progressive: how many low bits are not known yet; -1: all */
    uint64_t *mask;                 /* progressive: which coefficients of each block are not zero */
    /* for pixels */
    int size;                       /* samples of a block, along each side: 1, 2, 4, 8 */
    int64_t columns, lines;         /* samples that the picture has */
    int64_t stride, rows;           /* of `plane` for one row of MCUs; there are two such rows */
    uint8_t *plane;
    int16_t factors[64];            /* quantiser in natural order */
} Component;

#define MOST_UNITS 10 /* of an MCU, by the standard */

/* A block of each MCU of a scan. */
typedef struct {
    Component *component;
    int h, v, column, line; /* of how many blocks of its component which one */
    const Huffman *dc, *ac;
    uint8_t *out;           /* where the next one belongs, or NULL */
} Unit;

typedef struct {
    Report *report;
    Cursor cursor, later;           /* later: the file behind its header, where that was given apart */
    int frame;                      /* the marker's second byte; 0: none yet */
    int channels, hmax, vmax;
    int64_t mcus_across, mcus_down;
    int restart_interval;
    int jfif, adobe;                /* adobe: 1 + its transform; 0: none */
    int quantisers_given;           /* a bit each */
    uint16_t quantisers[4][64];
    Component components[4];
    int scan_count, scan[4];        /* of the current scan: which components */
    int unit_count;
    Unit units[MOST_UNITS];         /* of the current scan: the blocks of an MCU */
    int first, last, high, low;     /* of the current scan: band and bits */
    int end_run;                    /* progressive */
    Bits bits;
    Huffman dc[4], ac[4];
    uint64_t *masks;
    int most;                       /* a coefficient of more than that is looked at */
} Decoder;

static int fail(Decoder *d, int state, Reason reason)
{
    d->report->state = state;
    d->report->reason = reason;
    return 0;
}

/* The value that `bits`, `size` of them, stand for. */
static inline int extend(int bits, int size)
{
    return bits < (1 << (size - 1)) ? bits - (1 << size) + 1 : bits;
}

static uint32_t pack(int length, int advance, int value)
{
    return (uint32_t)length | (uint32_t)advance << 8 | (uint32_t)value << 16;
}

static inline int value_of(uint32_t entry) { return (int32_t)entry >> 16; }
static inline int advance_of(uint32_t entry) { return (int)(entry >> 8 & 255); }

enum { DC, AC, AC_PROGRESSIVE };

/* Tell what a symbol means: how many bits of a value follow, and the advance; 0 if it means nothing. */
static int meaning(int kind, int symbol, int *size, int *advance)
{
    int run = symbol >> 4;
    *size = symbol & 15;
    *advance = run + 1;
    if (kind == DC) {
        *advance = 0;
        return symbol <= 15;
    }
    if (*size == 0 && run != 15) {
        *advance = END;
        *size = run; /* of the length of a run of blocks */
        return run == 0 || kind == AC_PROGRESSIVE;
    }
    return 1;
}

/* Build what is looked up from what the file gave. */
static int build(Huffman *h, int kind)
{
    uint32_t code = 0;
    int index = 0;
    memset(h->one, 0, sizeof h->one);
    h->limit[0] = 0;
    for (int length = 1; length <= 16; length++) {
        h->offset[length] = index - (int32_t)code;
        for (int i = 0; i < h->counts[length]; i++, code++, index++) {
            if (code + 1 >= 1u << length || index >= 256) /* no code is all ones */
                return 0;
            if (kind == DC && h->symbols[index] > 15)
                return 0;
            int size, advance;
            if (length > FAST || !meaning(kind, h->symbols[index], &size, &advance))
                continue;
            uint32_t from = code << (FAST - length), count = 1u << (FAST - length);
            for (uint32_t i2 = 0; i2 < count; i2++) {
                int rest = FAST - length - size;
                if (size == 0)
                    h->one[from + i2] = pack(length, advance, 0);
                else if (rest < 0 || advance == END)
                    h->one[from + i2] = pack(length | 0x80, advance, size);
                else
                    h->one[from + i2] = pack(length + size, advance, extend((int)(i2 >> rest), size));
            }
        }
        h->limit[length] = code << (16 - length);
        code <<= 1;
    }
    h->built = (uint8_t)(1 + kind);
    h->paired = 0;
    return 1;
}

/* Build the table for pixels, of values up to `most`: larger ones are looked up, and looked at, one by one. */
static void build_double(Huffman *h, int most)
{
    if (h->paired)
        return;
    h->paired = 1;
    int low = most < 32 ? -most : -32, high = most < 31 ? most : 31;
    for (uint32_t index = 0; index < 1u << DOUBLE; index++) {
        uint32_t bits = index << (32 - DOUBLE), first = h->one[bits >> (32 - FAST)], length = first & 63;
        uint32_t advance = first >> 8 & 255, advance2 = 0;
        int value = value_of(first), value2 = 0;
        h->two[index] = 127 << 11;
        if (length == 0 || first & 0x80 || value < -most || value > most || length > DOUBLE)
            continue;
        uint32_t second = h->one[(bits << length) >> (32 - FAST)], length2 = second & 63;
        if (advance == END) {
            advance = 1;
            advance2 = 63;
        } else if (length2 && !(second & 0x80) && length + length2 <= DOUBLE && value_of(second) >= low &&
                   value_of(second) <= high) {
            length += length2;
            advance2 = (second >> 8 & 255) == END ? 64 : second >> 8 & 255;
            value2 = value_of(second);
        }
        h->two[index] = length | advance << 6 | (advance + advance2) << 11 | (uint32_t)(value & 255) << 18 |
                        (uint32_t)value2 << 26;
    }
}

/* Look up a symbol that `one` does not hold whole; 0: it is no code. At least 31 bits must be at hand. */
static NOINLINE uint32_t look_up_slowly(Bits *b, const Huffman *h, uint32_t entry)
{
    int size, advance;
    if (entry) {
        drop(b, entry & 63);
        advance = entry >> 8 & 255;
        size = (int)(entry >> 16);
    } else {
        uint32_t code = (uint32_t)(b->bits >> 48);
        int length = 1;
        while (length <= 16 && code >= h->limit[length])
            length++;
        if (length > 16)
            return 0;
        int index = h->offset[length] + (int)(code >> (16 - length));
        if (index < 0 || index > 255 || !meaning(h->built - 1, h->symbols[index], &size, &advance))
            return 0;
        drop(b, length);
    }
    int value = size ? take(b, size) : 0;
    if (advance == END)
        value += (1 << size) - 1; /* so many blocks more */
    else if (size)
        value = extend(value, size);
    return pack(1, advance, value);
}

/* Take a symbol and its value: an entry as those of `one`; 0: it is no code. At least 31 bits must be at hand. */
static inline uint32_t look_up(Bits *b, const Huffman *h)
{
    uint32_t entry = h->one[b->bits >> (64 - FAST)];
    if (LIKELY(entry & 63 && !(entry & 0x80))) {
        drop(b, entry & 63);
        return entry;
    }
    Bits slow = *b;
    entry = look_up_slowly(&slow, h, entry);
    *b = slow;
    return entry;
}

/* ---- Blocks ------------------------------------------------------------------------------------------------------ */

/*
 * Add a difference to a component's brightness; returns whether that can be. What is far beyond is no picture: before it
 * data was lost, or came twice. Samples of 8 bits have a mean of -1024 to 1016 here. Encoders go past that by half a
 * quantiser in rounding, by one more in a progressive scan that leaves low bits out, and (mozjpeg) by 1.5 of them + 30
 * to save bytes: at most two + 30. The rest of 64 is for fast forward DCTs. Compressing again adds nothing to it.
 */
static inline int brighten(Component *c, int difference)
{
    enum { MOST = 1024 + 64 };
    c->predicted += difference;
    int64_t value = c->predicted * c->step, most = MOST + 2 * c->step;
    return -most <= value && value <= most;
}

static inline void skip_bits(Bits *b, int count)
{
    for (; count > 0; count -= 32) {
        refill(b);
        drop(b, count < 32 ? count : 32);
    }
}

/* A progressive scan's part of one block; `mask` says which of its coefficients are not zero so far. */
static inline Reason walk_progressive(Decoder *d, Bits *b, Component *c, uint64_t *mask)
{
    const Huffman *ac = &d->ac[c->ac];
    int k = d->first;
    refill(b);
    if (k == 0) {
        if (d->high) {
            drop(b, 1);
            return NOTHING;
        }
        uint32_t entry = look_up(b, &d->dc[c->dc]);
        return !entry ? BAD_CODE : brighten(c, value_of(entry)) ? NOTHING : TOO_BRIGHT;
    }
    if (d->end_run == 0)
        for (; k <= d->last; k++) {
            refill(b);
            uint32_t entry = look_up(b, ac);
            if (!entry)
                return BAD_CODE;
            int zeros = advance_of(entry) - 1, value = value_of(entry), corrections = 0;
            if (zeros == END - 1) {
                d->end_run = value + 1;
                break;
            }
            if (!d->high)
                k += zeros;
            else {
                if (value < -1 || value > 1)
                    return BAD_CODE;
                for (; k <= d->last; k++) {
                    if (*mask >> k & 1)
                        corrections++;
                    else if (zeros-- == 0)
                        break;
                }
            }
            if (k > d->last && (value || !d->high))
                return RUN_PAST;
            if (value)
                *mask |= (uint64_t)1 << k;
            skip_bits(b, corrections);
        }
    if (d->end_run) {
        d->end_run--;
        if (d->high && k <= d->last)
            skip_bits(b, __builtin_popcountll((*mask >> k) & (UINT64_MAX >> (63 - d->last + k))));
    }
    return NOTHING;
}

/* ---- Scans ------------------------------------------------------------------------------------------------------- */

/* Sort out that the data of a segment ended before its blocks. */
static int data_ends(Decoder *d, const Bits *b)
{
    const uint8_t *at = b->next;
    while (at < b->end && *at == 0xFF)
        at++;
    if (at >= b->end)
        return fail(d, TRUNCATED, DATA_ENDS);
    return fail(d, DAMAGED, *at == 0xD9 ? EARLY_END : *at >= 0xD0 && *at <= 0xD7 ? RESTART : EARLY_MARKER);
}

static int bad_block(Decoder *d, const Bits *b, Reason reason)
{
    if (ran_out(b) || (reason == BAD_CODE && b->past && b->count - b->past < 32))
        return data_ends(d, b);
    return fail(d, reason == EXTREME ? DECLINED : DAMAGED, reason);
}

static void reset(Decoder *d)
{
    d->bits.bits = 0;
    d->bits.count = d->bits.past = 0;
    d->end_run = 0;
    for (int i = 0; i < 4; i++)
        d->components[i].predicted = 0;
}

/* Pass restart marker `number`. */
static int restart(Decoder *d, int number)
{
    Bits *b = &d->bits;
    if (d->end_run || !end_segment(b))
        return fail(d, DAMAGED, d->end_run ? RUN_PAST : LEFT_OVER);
    while (b->end - b->next >= 2 && b->next[1] == 0xFF)
        b->next++;
    if (b->end - b->next < 2 || b->next[1] != 0xD0 + (number & 7))
        return data_ends(d, b);
    b->next += 2;
    reset(d);
    return 1;
}

/* Tell whether a run of zeros in the data of a scan can't be data: no flat picture is coded so. */
static int has_hole(const Decoder *d, const uint8_t *from, const uint8_t *to)
{
    enum { HOLE = 256 };
    static const uint8_t none[HOLE];
    int flat = 1;
    for (int i = 0; i < d->scan_count; i++) {
        const Component *c = &d->components[d->scan[i]];
        if (d->first == 0 && !d->high)
            flat &= (d->dc[c->dc].symbols[0] & 15) == 0;
        if (d->last > 0)
            flat &= (d->ac[c->ac].symbols[0] & 15) == 0 && d->ac[c->ac].symbols[0] != 0xF0;
    }
    if (flat)
        return 0;
    for (; to - from >= HOLE; from += HOLE)
        if (*from == 0 && !memcmp(from, none, HOLE))
            return 1;
    return 0;
}

/* ---- Markers ----------------------------------------------------------------------------------------------------- */

static int64_t divide_up(int64_t value, int64_t by) { return (value + by - 1) / by; }

static int big_endian(const uint8_t *at) { return at[0] << 8 | at[1]; }

/* A fault of a segment: before the first scan another decoder may know better. */
static int bad(Decoder *d, Reason reason)
{
    return fail(d, d->report->scans ? DAMAGED : DECLINED, reason);
}

static int take_quantisers(Decoder *d, Cursor c)
{
    while (c.next < c.end) {
        int id = *c.next & 15, wide = *c.next >> 4;
        c.next++;
        if (id > 3 || wide > 1 || c.end - c.next < (wide ? 128 : 64))
            return bad(d, BAD_TABLE);
        for (int i = 0; i < 64; i++, c.next += 1 + wide)
            d->quantisers[id][i] = (uint16_t)(wide ? big_endian(c.next) : *c.next);
        d->quantisers_given |= 1 << id;
    }
    return 1;
}

static int take_huffman(Decoder *d, Cursor c)
{
    while (c.next < c.end) {
        int id = *c.next & 15, ac = *c.next >> 4, sum = 0;
        c.next++;
        if (id > 3 || ac > 1 || c.end - c.next < 16)
            return bad(d, BAD_TABLE);
        Huffman *h = ac ? &d->ac[id] : &d->dc[id];
        for (int i = 1; i <= 16; i++)
            sum += h->counts[i] = *c.next++;
        if (sum > 256 || sum > c.end - c.next)
            return bad(d, BAD_TABLE);
        memset(h->symbols, 0, sizeof h->symbols);
        memcpy(h->symbols, c.next, (size_t)sum);
        c.next += sum;
        h->given = 1;
        h->built = 0;
    }
    return 1;
}

static int take_frame(Decoder *d, int marker, Cursor c)
{
    if (d->frame || c.end - c.next < 6)
        return bad(d, BAD_FRAME);
    if (marker > 0xC2)
        return bad(d, CODING);
    Report *r = d->report;
    d->frame = marker;
    r->height = big_endian(c.next + 1);
    r->width = big_endian(c.next + 3);
    if (c.next[0] != 8)
        return bad(d, PRECISION);
    if (c.next[5] < 1 || c.next[5] > 4)
        return bad(d, CHANNELS);
    d->channels = r->channels = c.next[5]; /* never more than there are `components` */
    c.next += 6;
    if (r->width == 0 || c.end - c.next != 3 * d->channels)
        return bad(d, BAD_FRAME);
    d->hmax = d->vmax = 1;
    for (int i = 0; i < d->channels; i++, c.next += 3) {
        Component *p = &d->components[i];
        p->id = c.next[0];
        p->h = c.next[1] >> 4;
        p->v = c.next[1] & 15;
        p->quantiser = c.next[2];
        if (p->h < 1 || p->h > 4 || p->v < 1 || p->v > 4)
            return bad(d, SAMPLING);
        if (p->quantiser > 3)
            return bad(d, BAD_FRAME);
        for (int j = 0; j < i; j++)
            if (d->components[j].id == p->id)
                return bad(d, BAD_FRAME);
        d->hmax = p->h > d->hmax ? p->h : d->hmax;
        d->vmax = p->v > d->vmax ? p->v : d->vmax;
        memset(p->known, -1, sizeof p->known);
    }
    return 1;
}

#define MOST_BLOCKS ((int64_t)1 << 24) /* of a progressive picture: 128 MB of masks */

/* Work out how many blocks there are; at the first scan, when the height is known. */
static int lay_out(Decoder *d)
{
    Report *r = d->report;
    if (r->height == 0)
        return bad(d, NO_HEIGHT);
    d->mcus_across = divide_up(r->width, 8 * d->hmax);
    d->mcus_down = divide_up(r->height, 8 * d->vmax);
    int64_t blocks = 0;
    for (int i = 0; i < d->channels; i++) {
        Component *c = &d->components[i];
        c->across = divide_up(divide_up((int64_t)r->width * c->h, d->hmax), 8);
        c->down = divide_up(divide_up((int64_t)r->height * c->v, d->vmax), 8);
        c->wide = d->mcus_across * c->h;
        c->high = d->mcus_down * c->v;
        blocks += c->wide * c->high;
    }
    if (d->frame != 0xC2)
        return 1;
    if (blocks > MOST_BLOCKS)
        return fail(d, DECLINED, TOO_LARGE);
    d->masks = calloc((size_t)blocks, sizeof *d->masks);
    if (!d->masks)
        return fail(d, DECLINED, NO_MEMORY);
    uint64_t *mask = d->masks;
    for (int i = 0; i < d->channels; i++) {
        d->components[i].mask = mask;
        mask += d->components[i].wide * d->components[i].high;
    }
    return 1;
}

/* Hold a progressive scan's band and bits against what is known; note what it adds. */
static int take_band(Decoder *d)
{
    if (d->first > d->last || d->last > 63 || (d->first == 0 && d->last != 0) || (d->first && d->scan_count != 1) ||
        d->low > 13 || (d->high && d->high != d->low + 1))
        return bad(d, BAD_SCAN);
    for (int i = 0; i < d->scan_count; i++) {
        int8_t *known = d->components[d->scan[i]].known;
        if (d->first && known[0] < 0)
            return fail(d, DECLINED, SCAN_ORDER);
        for (int k = d->first; k <= d->last; k++) {
            if (known[k] != (d->high ? d->high : -1))
                return fail(d, DECLINED, SCAN_ORDER);
            known[k] = (int8_t)d->low;
        }
    }
    return 1;
}

/* Build a table unless it was built for this kind of symbols. */
static int make_ready(Decoder *d, Huffman *h, int kind)
{
    if (!h->given)
        return bad(d, NO_TABLE);
    return h->built == 1 + kind || build(h, kind) || bad(d, BAD_TABLE);
}

static int take_scan(Decoder *d, Cursor c)
{
    if (!d->frame)
        return bad(d, BAD_SCAN);
    int count = c.next < c.end ? *c.next++ : 0;
    if (count < 1 || count > d->channels || c.end - c.next != 2 * count + 3)
        return bad(d, BAD_SCAN);
    d->scan_count = count;
    d->unit_count = 0;
    for (int i = 0; i < count; i++, c.next += 2) {
        int index = 0;
        while (index < d->channels && d->components[index].id != c.next[0])
            index++;
        if (index == d->channels)
            return bad(d, BAD_SCAN);
        for (int j = 0; j < i; j++)
            if (d->scan[j] == index)
                return bad(d, BAD_SCAN);
        Component *p = &d->components[d->scan[i] = index];
        p->dc = c.next[1] >> 4;
        p->ac = c.next[1] & 15;
        int h = count > 1 ? p->h : 1, v = count > 1 ? p->v : 1; /* a single component is not interleaved */
        if (p->dc > 3 || p->ac > 3 || d->unit_count + h * v > MOST_UNITS)
            return bad(d, BAD_SCAN);
        for (int line = 0; line < v; line++)
            for (int column = 0; column < h; column++)
                d->units[d->unit_count++] = (Unit){p, h, v, column, line, &d->dc[p->dc], &d->ac[p->ac], NULL};
    }
    d->first = 0;
    d->last = 63;
    d->high = d->low = 0;
    if (d->frame == 0xC2) {
        d->first = c.next[0];
        d->last = c.next[1];
        d->high = c.next[2] >> 4;
        d->low = c.next[2] & 15;
        if (!take_band(d))
            return 0;
    }
    for (int i = 0; i < count; i++) {
        Component *p = &d->components[d->scan[i]];
        int64_t unit = d->quantisers_given >> p->quantiser & 1 ? d->quantisers[p->quantiser][0] : 0;
        p->step = unit << d->low;
        if (d->frame != 0xC2 && p->seen++)
            return fail(d, DECLINED, SCAN_ORDER);
        if (d->first == 0 && !d->high && !make_ready(d, &d->dc[p->dc], DC))
            return 0;
        if (d->last > 0 && !make_ready(d, &d->ac[p->ac], d->frame == 0xC2 ? AC_PROGRESSIVE : AC))
            return 0;
    }
    return 1;
}

/* Read segments up to a scan's data, or the end marker. Returns the marker's second byte, 0xDA or 0xD9, or 0. */
static int read_segments(Decoder *d)
{
    Cursor *c = &d->cursor;
    int64_t between = 0; /* bytes that belong to nothing */
    for (;;) {
        const uint8_t *at = c->next < c->end ? memchr(c->next, 0xFF, (size_t)(c->end - c->next)) : NULL;
        between += at ? at - c->next : 0;
        if (d->report->scans && between > 1) /* blocks of a scan that has enough */
            return fail(d, DAMAGED, LEFT_OVER);
        while (at && c->end - at >= 2 && at[1] == 0xFF)
            at++;
        if (!at || c->end - at < 2)
            return fail(d, TRUNCATED, d->report->scans ? NO_END : HEADER_ENDS);
        int marker = at[1];
        c->next = at + 2;
        if (marker == 0 || marker == 1 || (marker >= 0xD0 && marker <= 0xD7))
            continue;
        if (marker == 0xD8)
            return bad(d, SECOND_PICTURE);
        if (marker == 0xD9)
            return d->report->scans ? marker : bad(d, BAD_HEADER);
        if (marker < 0xC0 || marker == 0xC8 || marker == 0xDE || marker == 0xDF || (marker > 0xEF && marker != 0xFE))
            return bad(d, BAD_HEADER);
        if (c->end - c->next < 2 || c->end - c->next < big_endian(c->next))
            return fail(d, TRUNCATED, d->report->scans ? NO_END : HEADER_ENDS);
        int length = big_endian(c->next);
        if (length < 2)
            return bad(d, BAD_HEADER);
        Cursor body = {c->next + 2, c->next + length};
        int size = length - 2, good = 1;
        c->next += length;
        if (marker == 0xDB)
            good = take_quantisers(d, body);
        else if (marker == 0xC4)
            good = take_huffman(d, body);
        else if (marker == 0xDD) {
            if (size != 2)
                return bad(d, BAD_HEADER);
            d->restart_interval = big_endian(body.next);
        } else if (marker >= 0xC0 && marker <= 0xCF && marker != 0xCC)
            good = take_frame(d, marker, body);
        else if (marker == 0xE0)
            d->jfif |= size >= 14 && !memcmp(body.next, "JFIF", 5);
        else if (marker == 0xEE && size >= 12 && !memcmp(body.next, "Adobe", 5))
            d->adobe = 1 + body.next[11];
        else if (marker == 0xDA)
            return take_scan(d, body) ? marker : 0;
        if (!good)
            return 0;
    }
}

/* ---- Vectors of 128 bits ----------------------------------------------------------------------------------------- */

typedef uint16_t V __attribute__((vector_size(16))); /* so that it wraps; most functions read it as signed */
typedef int16_t S __attribute__((vector_size(16)));
typedef int32_t W __attribute__((vector_size(16)));
typedef uint32_t U __attribute__((vector_size(16)));
typedef uint8_t B __attribute__((vector_size(16)));
typedef uint64_t Q __attribute__((vector_size(16)));

#ifdef __clang__
#define MIX(type, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define MIX(type, a, b, ...) __builtin_shuffle(a, b, (type){__VA_ARGS__})
#endif

static inline V low(V a, V b) { return MIX(V, a, b, 0, 8, 1, 9, 2, 10, 3, 11); }
static inline V high(V a, V b) { return MIX(V, a, b, 4, 12, 5, 13, 6, 14, 7, 15); }
static inline B low_bytes(B a, B b) { return MIX(B, a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23); }
static inline B high_bytes(B a, B b)
{
    return MIX(B, a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}

/* The sums of products of neighbours; two vectors as one of half as wide lanes, each the nearest value it can hold. */
#if SIMD
static inline W madd(V a, V b) { return (W)_mm_madd_epi16((__m128i)a, (__m128i)b); }
static inline V narrow(W a, W b) { return (V)_mm_packs_epi32((__m128i)a, (__m128i)b); }
static inline B bytes(V a, V b) { return (B)_mm_packus_epi16((__m128i)a, (__m128i)b); }
#else
static inline W evens(V a) { return (W)((U)a << 16) >> 16; }
static inline W odds(V a) { return (W)a >> 16; }
static inline W madd(V a, V b) { return evens(a) * evens(b) + odds(a) * odds(b); }

static inline V limited(W a)
{
    W below = a < INT16_MIN, above = a > INT16_MAX;
    return (V)((a & ~below & ~above) | (below & INT16_MIN) | (above & INT16_MAX));
}

static inline V narrow(W a, W b) { return MIX(V, limited(a), limited(b), 0, 2, 4, 6, 8, 10, 12, 14); }

static inline B byte(V a)
{
    S positive = (S)a & ~((S)a < 0);
    return (B)(positive | (positive > UINT8_MAX));
}

static inline B bytes(V a, V b)
{
    return MIX(B, byte(a), byte(b), 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
}
#endif

static inline W times(V pairs, int even, int odd)
{
    uint16_t e = (uint16_t)even, o = (uint16_t)odd;
    return madd(pairs, (V){e, o, e, o, e, o, e, o});
}

static inline W shifted(W value, int bits) { return (value + (1 << (bits - 1))) >> bits; }

/* Whether any bit is set. */
static inline int any(V value)
{
    return (((Q)value)[0] | ((Q)value)[1]) != 0;
}

/* ---- Inverse DCT -------------------------------------------------------------------------------------------------
 *
 * Loeffler, Ligtenberg and Moschytz's, in fixed point with 13 bits, as libjpeg's "islow", multiplied out; the reduced
 * ones give the averages of neighbours. Each takes coefficients in natural order and multiplies them by their
 * quantiser's factors, writes `size` x `size` samples, and returns something else than 0 for a block whose values no
 * encoder writes: what is between the passes beyond LIMIT, or a sample beyond +-512. There libjpeg's C and SIMD code
 * differ. Its input is within LIMIT.
 */

#define LIMIT 16383

static inline int beyond_limit(int64_t value) { return value < -LIMIT || value > LIMIT; }

/* A lane is beyond LIMIT if with LIMIT + 1 more it has this bit; no sample if with 512 more it has one of these. */
#define BEYOND 0x8000
#define WILD 0xFC00

/* A row of coefficients times its factors. */
static inline V row_of(const int16_t *in, const Component *c, int row)
{
    V value, factors;
    memcpy(&value, in + 8 * row, sizeof value);
    memcpy(&factors, c->factors + 8 * row, sizeof factors);
    return value * factors;
}

/* A block of which nothing but its average is there, or wanted. */
static int idct_flat(int32_t in, const Component *c, uint8_t *out)
{
    int value = ((in + 4) >> 3) + 128;
    for (int y = 0; y < c->size; y++)
        memset(out + y * c->stride, value < 0 ? 0 : value > 255 ? 255 : value, (size_t)c->size);
    return value < 128 - 512 || value >= 128 + 512;
}

/*
 * One dimension, four lanes wide: from pairs of coefficients to `size` values, the sums of their products with FACTORS;
 * from the end on, with those of odd coefficients taken away. All sums are exact, as no input is beyond LIMIT.
 */
static inline void transform(V i04, V i26, V i13, V i57, int size, int bits, W *out)
{
    static const int16_t FACTORS[3][4][8] = {
        /* of 0, 4; of 2, 6; of 1, 3; of 5, 7 */
        {{16384, 16384, 0, 0, 29692, -10426, 6967, -5906}}, /* 2: of 0 twice, as 32768 has no room */
        {{16384, 0, 15137, -6270, 20995, 7373, -4926, -4176}, {16384, 0, -15137, 6270, 8697, -17799, 11893, -1730}},
        {{8192, 8192, 10703, 4433, 11363, 9633, 6437, 2260},
         {8192, -8192, 4433, -10704, 9633, -2259, -11362, -6436},
         {8192, -8192, -4433, 10704, 6437, -11362, 2261, 9633},
         {8192, 8192, -10703, -4433, 2260, -6436, 9633, -11363}},
    };
    for (int i = 0; i < size / 2; i++) {
        const int16_t *f = FACTORS[size == 8 ? 2 : size == 4][i];
        W even = times(i04, f[0], f[1]), odd = times(i13, f[4], f[5]) + times(i57, f[6], f[7]);
        if (size > 2)
            even += times(i26, f[2], f[3]);
        out[i] = shifted(even + odd, bits);
        out[size - 1 - i] = shifted(even - odd, bits);
    }
}

/* Interleave the first half of vectors with the second, as often as transposes them. */
static inline void interleave(V *v, int count, int rounds)
{
    while (rounds-- > 0) {
        V next[8] = {{0}};
        for (int i = 0; i < count / 2; i++) {
            next[2 * i] = low(v[i], v[i + count / 2]);
            next[2 * i + 1] = high(v[i], v[i + count / 2]);
        }
        for (int i = 0; i < count; i++)
            v[i] = next[i];
    }
}

/* Columns first, then rows: to 4 or 8. */
static inline __attribute__((always_inline)) int idct(const int16_t *in, const Component *c, uint8_t *out, int size,
                                                      int bits)
{
    V r[8] = {{0}}, far = {0}, wild = {0};
    W left[8] = {{0}}, right[8] = {{0}};
    for (int i = 0; i < 8; i++)
        r[i] = row_of(in, c, i);
    transform(low(r[0], r[4]), low(r[2], r[6]), low(r[1], r[3]), low(r[5], r[7]), size, bits, left);
    transform(high(r[0], r[4]), high(r[2], r[6]), high(r[1], r[3]), high(r[5], r[7]), size, bits, right);
    for (int i = 0; i < size; i++) {
        r[i] = narrow(left[i], right[i]);
        far |= r[i] + (LIMIT + 1);
    }
    uint16_t fourth = size == 8 ? BEYOND : 0; /* it is not used else */
    if (any(far & (V){BEYOND, BEYOND, BEYOND, BEYOND, fourth, BEYOND, BEYOND, BEYOND}))
        return 1;
    if (size == 8) {
        interleave(r, 8, 3); /* a column each */
        transform(low(r[0], r[4]), low(r[2], r[6]), low(r[1], r[3]), low(r[5], r[7]), 8, bits + 7, left);
        transform(high(r[0], r[4]), high(r[2], r[6]), high(r[1], r[3]), high(r[5], r[7]), 8, bits + 7, right);
        for (int i = 0; i < 8; i++)
            r[i] = narrow(left[i], right[i]);
    } else {
        interleave(r, 4, 2); /* two columns each */
        transform(low(r[0], r[2]), low(r[1], r[3]), high(r[0], r[1]), high(r[2], r[3]), 4, bits + 7, left);
        for (int i = 0; i < 2; i++)
            r[i] = narrow(left[2 * i], left[2 * i + 1]);
    }
    int count = size * size / 8;
    interleave(r, count, size == 8 ? 3 : 2);
    B samples[4] = {{0}};
    for (int i = 0; i < count; i += 2) {
        samples[i / 2] = bytes(r[i] + 128, r[i + 1] + 128);
        wild |= (r[i] + 512) | (r[i + 1] + 512);
    }
    for (int y = 0; y < size; y++)
        memcpy(out + y * c->stride, (const uint8_t *)samples + y * size, (size_t)size);
    return any(wild & WILD);
}

static NOINLINE int idct_8(const int16_t *in, const Component *c, uint8_t *out) { return idct(in, c, out, 8, 11); }
static NOINLINE int idct_4(const int16_t *in, const Component *c, uint8_t *out) { return idct(in, c, out, 4, 12); }

/* The same to 2. */
static NOINLINE int idct_2(const int16_t *in, const Component *c, uint8_t *out)
{
    W left[2] = {{0}}, right[2] = {{0}};
    V r0 = row_of(in, c, 0), r1 = row_of(in, c, 1), r3 = row_of(in, c, 3), r5 = row_of(in, c, 5), r7 = row_of(in, c, 7);
    transform(low(r0, r0), r0, low(r1, r3), low(r5, r7), 2, 13, left);
    transform(high(r0, r0), r0, high(r1, r3), high(r5, r7), 2, 13, right);
    V first = narrow(left[0], right[0]), second = narrow(left[1], right[1]);
    V far = (first + (LIMIT + 1)) | (second + (LIMIT + 1));
    if (any(far & (V){BEYOND, BEYOND, 0, BEYOND, 0, BEYOND, 0, BEYOND}))
        return 1;
    /* rows times the factors of each sample, negative, as 32768 has no room; the four lanes' sum is the sample */
    const V lefts = {32768, 65536 - 29692, 0, 10426, 0, 65536 - 6967, 0, 5906};
    const V rights = {32768, 29692, 0, 65536 - 10426, 0, 6967, 0, 65536 - 5906};
    W a = madd(first, lefts), b = madd(first, rights), e = madd(second, lefts), f = madd(second, rights);
    a = MIX(W, a, b, 0, 4, 1, 5) + MIX(W, a, b, 2, 6, 3, 7);
    e = MIX(W, e, f, 0, 4, 1, 5) + MIX(W, e, f, 2, 6, 3, 7);
    a = shifted(-(MIX(W, a, e, 0, 1, 4, 5) + MIX(W, a, e, 2, 3, 6, 7)), 20);
    V samples = narrow(a, a);
    B rows = bytes(samples + 128, samples);
    memcpy(out, &rows, 2);
    memcpy(out + c->stride, (const uint8_t *)&rows + 2, 2);
    return any((samples + 512) & WILD);
}

/* ---- Pixels ------------------------------------------------------------------------------------------------------ */

/* Where in a block the coefficient before number `k` belongs. */
static const uint8_t PLACE[65] = {
    0,  0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,  12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6,  7,  14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63
};

/* Decode a block to `out`. Without pixels (size 0), or where its average is enough (1), the rest is passed over. */
static inline __attribute__((always_inline)) Reason decode_block(Bits *b, Component *c, const Huffman *dc,
                                                                 const Huffman *ac, uint8_t *out)
{
    int16_t block[64];
    refill(b);
    uint32_t entry = look_up(b, dc);
    if (!entry)
        return BAD_CODE;
    if (!brighten(c, value_of(entry)))
        return TOO_BRIGHT;
    if (beyond_limit(c->predicted * c->factors[0]))
        return EXTREME;
    for (int i = 0; i < 8; i++) /* sooner than memset */
        memcpy(block + 8 * i, &(V){0}, sizeof(V));
    block[0] = (int16_t)c->predicted;
    const uint32_t *table = ac->two;
    uint64_t k = 1;
    int flat = 0, large = 0;
    do {
        refill(b);
        for (int i = 0; i < AT_ONCE; i++) {
            uint32_t two = table[b->bits >> (64 - DOUBLE)];
            uint64_t first = k + (two >> 6 & 31), second = k + (two >> 11 & 127);
            if (LIKELY(second < 64)) {
                drop(b, (int)(two & 63));
                block[PLACE[second]] = (int16_t)((int32_t)two >> 26);
                block[PLACE[first]] = (int8_t)(two >> 18); /* in this order: it counts where there is one */
                k = second;
            } else if (two & 64 << 11 && second < 128) {
                flat = k == 1 && second == 65;
                drop(b, (int)(two & 63));
                block[PLACE[first]] = (int8_t)(two >> 18);
                k = END;
                break;
            } else {
                refill(b); /* a symbol may take 31 bits */
                entry = look_up(b, ac);
                if (!entry)
                    return BAD_CODE;
                k += (uint64_t)advance_of(entry);
                if (k <= 64) {
                    block[PLACE[k]] = (int16_t)value_of(entry);
                    large |= beyond_limit(value_of(entry) * c->factors[PLACE[k]]);
                }
                break;
            }
        }
    } while (k < 64);
    if (k > 64 && k < END)
        return RUN_PAST;
    if (c->size == 0)
        return NOTHING;
    int wild = large;
    if (flat || c->size == 1)
        wild = idct_flat((int)c->predicted * c->factors[0], c, out);
    else if (!large)
        wild = c->size == 8 ? idct_8(block, c, out) : c->size == 4 ? idct_4(block, c, out) : idct_2(block, c, out);
    return wild ? EXTREME : NOTHING;
}

/* Go through row `y` of a scan's MCUs, `width` of them. */
static inline __attribute__((always_inline)) int scan_row(Decoder *d, int progressive, int64_t y, int64_t width)
{
    Bits b = d->bits;
    int64_t first = y * width;
    for (int i = 0; i < d->unit_count; i++) {
        Unit *u = &d->units[i];
        const Component *c = u->component;
        if (c->plane)
            u->out = c->plane + ((y & 1) * c->rows + u->line * c->size) * c->stride + u->column * c->size;
    }
    for (int64_t x = 0; x < width; x++) {
        if (d->restart_interval && first + x && (first + x) % d->restart_interval == 0) {
            d->bits = b;
            if (!restart(d, (int)((first + x) / d->restart_interval - 1)))
                return 0;
            b = d->bits;
        }
        for (int i = 0; i < d->unit_count; i++) {
            Unit *u = &d->units[i];
            Component *c = u->component;
            Reason reason;
            if (progressive)
                reason = walk_progressive(d, &b, c, c->mask + (y * u->v + u->line) * c->wide + x * u->h + u->column);
            else {
                reason = decode_block(&b, c, u->dc, u->ac, u->out);
                if (u->out) /* it stays within its row, or ends behind it */
                    u->out += u->h * c->size;
            }
            if (reason || ran_out(&b))
                return bad_block(d, &b, reason);
            d->report->done++;
        }
    }
    d->bits = b;
    return 1;
}

/* A picture as Arrow's C data interface has it; its pixels stand behind it, in the same piece of memory. */
typedef struct Image {
    int64_t length, null_count, offset, n_buffers, n_children;
    const void **buffers;
    struct Image **children, *dictionary;
    void (*release)(struct Image *);
    void *private_data;
    const void *pointers[2];
} Image;

#define IMAGE_HEAD (((sizeof(Image)) + 63) / 64 * 64)
#define MOST_BYTES ((int64_t)1 << 31) /* of a picture */
#define BEHIND 32                     /* bytes behind a picture, and behind the planes, that `convert` may use */

/* Row `y` of a component, or the nearest row that the picture has. */
static inline const uint8_t *plane_row(const Component *c, int64_t y)
{
    y = y < 0 ? 0 : y < c->lines ? y : c->lines - 1;
    return c->plane + ((y / c->rows & 1) * c->rows + y % c->rows) * c->stride;
}

typedef struct {
    int scale, across, down; /* across, down: 1 or 2, what colour is to be widened by */
    int smooth, context;     /* context: a row of colour needs the next one */
    int64_t width, height;   /* of the picture */
    uint8_t *scratch[2];     /* a row of colour each, widened */
    int16_t *sum;            /* and one more at each end */
    uint8_t *memory;
    Image *image;
} Output;

/* Twice as wide, from sums of one or four parts. */
static inline void widen(const int16_t *in, int64_t n, uint8_t *out, int shift, int left, int right)
{
    for (int64_t i = 0; i < n; i++) {
        out[2 * i] = (uint8_t)((in[i] * 3 + in[i - 1] + left) >> shift);
        out[2 * i + 1] = (uint8_t)((in[i] * 3 + in[i + 1] + right) >> shift);
    }
}

/*
 * Row `y` of colour component `index`, as wide as the picture: each sample has three parts of the nearest one in its
 * plane and one of the next nearest, in each direction in which there are fewer; or is the nearest one.
 */
static const uint8_t *colour_row(const Decoder *d, const Output *o, int index, int64_t y)
{
    const Component *c = &d->components[index];
    const uint8_t *near = plane_row(c, y / o->down), *far = plane_row(c, y & 1 ? y / 2 + 1 : y / 2 - 1);
    uint8_t *out = o->scratch[index - 1];
    int16_t *sum = o->sum + 1;
    int64_t n = c->columns;
    int smooth = o->smooth && (o->across == 1 || n > 2), both = smooth && o->down == 2;
    if (o->across == 1 && !both)
        return near;
    if (!smooth) {
        for (int64_t i = 0; i < n; i++)
            out[2 * i] = out[2 * i + 1] = near[i];
        return out;
    }
    for (int64_t i = 0; i < n; i++)
        sum[i] = (int16_t)(both ? near[i] * 3 + far[i] : near[i]);
    sum[-1] = sum[0];
    sum[n] = sum[n - 1];
    if (o->across == 1)
        for (int64_t i = 0, half = y & 1 ? 2 : 1; i < n; i++)
            out[i] = (uint8_t)((sum[i] + half) >> 2);
    else if (both)
        widen(sum, n, out, 4, 8, 7);
    else
        widen(sum, n, out, 2, 1, 2);
    return out;
}

/* Part of a colour: so many 65536ths of `a` and of `b`, rounded. */
static inline V part(V a, V b, int of_a, int of_b)
{
    return narrow(shifted(times(low(a, b), of_a, of_b), 16), shifted(times(high(a, b), of_a, of_b), 16));
}

static inline V eight_samples(const uint8_t *at)
{
    uint64_t samples;
    memcpy(&samples, at, sizeof samples);
    return (V)low_bytes((B)(Q){samples}, (B){0});
}

/*
 * YCbCr to RGB with 16 bits of fraction, rounded as libjpeg's tables are; the fourth byte is 255, as Pillow has it.
 * Eight pixels at once: up to 7 are read and written behind the row, where there is room (BEHIND).
 */
static void convert(const uint8_t *luma, const uint8_t *blue, const uint8_t *red, int64_t width, uint8_t *out)
{
    for (int64_t x = 0; x < width; x += 8, out += 32) {
        V y = eight_samples(luma + x), cb = eight_samples(blue + x) - 128, cr = eight_samples(red + x) - 128;
        V r = y + cr + part(cr, cr, 26345, 0);               /* 1.402 is 1 + 26345 / 65536 */
        V b = y + cb + cb + part(cb, cb, -14942, 0);         /* 1.772 is 2 - 14942 / 65536 */
        V g = y - cr + part(cb, cr, -22554, 18734);          /* -0.71414 is 18734 / 65536 - 1 */
        B red_blue = bytes(r, b), green_opaque = bytes(g, (V){0} + 255);
        V red_green = (V)low_bytes(red_blue, green_opaque), blue_opaque = (V)high_bytes(red_blue, green_opaque);
        V left = low(red_green, blue_opaque), right = high(red_green, blue_opaque);
        memcpy(out, &left, sizeof left);
        memcpy(out + 16, &right, sizeof right);
    }
}

/* Write the rows `from` to `to` of the picture; their samples are in the planes. */
static void emit(const Decoder *d, const Output *o, int64_t from, int64_t to)
{
    int64_t bytes = d->channels == 1 ? 1 : 4;
    for (int64_t y = from; y < to && y < o->height; y++) {
        const uint8_t *luma = plane_row(&d->components[0], y);
        uint8_t *out = (uint8_t *)o->image + IMAGE_HEAD + y * o->width * bytes;
        if (d->channels == 1)
            memcpy(out, luma, (size_t)o->width);
        else {
            const uint8_t *blue = colour_row(d, o, 1, y), *red = colour_row(d, o, 2, y);
            convert(luma, blue, red, o->width, out);
        }
    }
}

/* Take what pixels are decoded of, and get memory. */
static int prepare(Decoder *d, Output *o)
{
    Report *r = d->report;
    Component *luma = &d->components[0];
    if (d->frame == 0xC2)
        return fail(d, DECLINED, PROGRESSIVE);
    if (d->channels != 1 && d->channels != 3)
        return fail(d, DECLINED, CHANNELS);
    if (d->scan_count != d->channels)
        return fail(d, DECLINED, SEVERAL_SCANS);
    for (int i = 0; i < d->channels; i++)
        if (d->scan[i] != i) /* `read_scan` counts rows of the picture by its first component */
            return fail(d, DECLINED, COMPONENT_ORDER);
    if (d->channels == 1)
        luma->h = luma->v = d->hmax = d->vmax = 1; /* a single component is not interleaved */
    else {
        int rgb = d->components[0].id == 'R' && d->components[1].id == 'G' && d->components[2].id == 'B';
        if (!d->jfif && (d->adobe ? d->adobe == 1 : rgb))
            return fail(d, DECLINED, COLOUR);
        if (luma->h > 2 || luma->v > 2 || d->components[1].h != 1 || d->components[1].v != 1 ||
            d->components[2].h != 1 || d->components[2].v != 1)
            return fail(d, DECLINED, SAMPLING);
    }
    if (!lay_out(d))
        return 0;
    int min = 8 / o->scale;
    o->smooth = min > 1;
    o->width = divide_up(r->width, o->scale);
    o->height = divide_up(r->height, o->scale);
    int64_t bytes = o->width * o->height * (d->channels == 1 ? 1 : 4), memory = 0;
    if (bytes > MOST_BYTES)
        return fail(d, DECLINED, TOO_LARGE);
    for (int i = 0; i < d->channels; i++) {
        Component *c = &d->components[i];
        if (!(d->quantisers_given >> c->quantiser & 1))
            return fail(d, DECLINED, NO_TABLE);
        int largest = 1;
        for (int k = 0; k < 64; k++) {
            int factor = d->quantisers[c->quantiser][k];
            if (factor > LIMIT)
                return fail(d, DECLINED, EXTREME);
            c->factors[PLACE[k + 1]] = (int16_t)factor;
            largest = factor > largest ? factor : largest;
        }
        d->most = LIMIT / largest < d->most ? LIMIT / largest : d->most;
        /* colour is decoded at twice the scale where that saves widening it in both directions */
        c->size = i && min < 8 && d->hmax == 2 && d->vmax == 2 ? 2 * min : min;
        c->columns = divide_up((int64_t)r->width * c->h * c->size, 8 * d->hmax);
        c->lines = divide_up((int64_t)r->height * c->v * c->size, 8 * d->vmax);
        c->stride = c->wide * c->size;
        c->rows = c->v * c->size;
        memory += 2 * c->rows * c->stride;
    }
    const Component *colour = &d->components[d->channels - 1];
    o->across = d->hmax * min / (colour->h * colour->size);
    o->down = d->vmax * min / (colour->v * colour->size);
    o->context = o->smooth && o->down == 2 && (o->across == 1 || colour->columns > 2);
    int64_t row = (2 * colour->columns + 63) / 64 * 64 + 64; /* and room for a sum at each end */
    o->memory = malloc((size_t)(memory + 4 * row) + BEHIND);
    o->image = malloc(IMAGE_HEAD + (size_t)bytes + BEHIND);
    if (!o->memory || !o->image)
        return fail(d, DECLINED, NO_MEMORY);
    o->sum = (int16_t *)(void *)o->memory;
    o->scratch[0] = o->memory + 2 * row;
    o->scratch[1] = o->memory + 3 * row;
    uint8_t *plane = o->memory + 4 * row;
    for (int i = 0; i < d->channels; i++) {
        d->components[i].plane = plane;
        plane += 2 * d->components[i].rows * d->components[i].stride;
    }
    return 1;
}

static void release(Image *image) { image->release = NULL; }

/* Read a scan's data: rows of MCUs, and of those the rows of the picture that they complete. */
static int read_scan(Decoder *d, const Output *o)
{
    int progressive = d->frame == 0xC2, alone = d->scan_count == 1;
    const Component *one = &d->components[d->scan[0]];
    int64_t width = alone ? one->across : d->mcus_across, height = alone ? one->down : d->mcus_down, emitted = 0;
    d->report->total += d->unit_count * width * height;
    for (int i = 0; i < d->unit_count && !progressive; i++)
        build_double(&d->ac[d->units[i].component->ac], d->most);
    for (int64_t y = 0; y < height; y++) {
        if (!(progressive ? scan_row(d, 1, y, width) : scan_row(d, 0, y, width)))
            return 0;
        if (o->scale) {
            int64_t ready = y + 1 == height ? o->height : (y + 1) * one->rows - o->context;
            emit(d, o, emitted, ready);
            emitted = ready;
        }
    }
    return 1;
}

/* ---- The whole file ---------------------------------------------------------------------------------------------- */

#define MOST_SCANS 100

static void read_file(Decoder *d, Output *o)
{
    int marker;
    while ((marker = read_segments(d)) == 0xDA) {
        Report *r = d->report;
        if (r->scans == 0 && !(o->scale ? prepare(d, o) : lay_out(d)))
            return;
        if (r->scans == MOST_SCANS || (o->scale && r->scans)) {
            fail(d, DECLINED, o->scale ? SEVERAL_SCANS : TOO_MANY_SCANS);
            return;
        }
        if (r->scans++ == 0 && d->later.next)
            d->cursor = d->later;
        const uint8_t *from = d->cursor.next;
        d->bits.next = from;
        d->bits.end = d->cursor.end;
        reset(d);
        if (!read_scan(d, o))
            return;
        if (d->end_run || !end_segment(&d->bits)) {
            fail(d, DAMAGED, d->end_run ? RUN_PAST : LEFT_OVER);
            return;
        }
        d->cursor.next = d->bits.next;
        if (has_hole(d, from, d->bits.next)) {
            fail(d, DAMAGED, ZEROS);
            return;
        }
    }
    /* a progressive picture may leave its last bits out, if it says that it ends */
    int64_t missing = 0;
    for (int i = 0; i < d->channels && d->report->scans; i++) {
        const Component *c = &d->components[i];
        int unknown = !c->seen;
        if (d->frame == 0xC2) {
            unknown = c->known[0] < 0;
            for (int k = 0; k < 64 && marker != 0xD9; k++)
                unknown |= c->known[k] != 0;
        }
        missing += unknown ? c->across * c->down : 0;
    }
    if (marker == 0xD9)
        fail(d, missing ? DAMAGED : WHOLE, missing ? SCANS_MISSING : NOTHING);
    else if (missing && d->report->state == TRUNCATED)
        d->report->reason = SCANS_MISSING;
    d->report->total += missing;
}

/*
 * Read a JPEG file: walk it where `scale` is 0, or decode it at 1/`scale` (1, 2, 4, 8). Its data is `data`; where
 * somebody has found its header already, `head` is that, and `data` what stands behind the first scan's header.
 * `report->image` is a picture only where it is WHOLE; it belongs to the caller, and `jpeg_free` frees it.
 */
EXPORT void jpeg_read(const uint8_t *head, size_t head_size, const uint8_t *data, size_t size, int scale,
                      Report *report)
{
    *report = (Report){.state = DECLINED}; /* WHOLE has to be said */
    Decoder *d = calloc(1, sizeof *d);
    Output o = {.scale = scale};
    if (!d) {
        report->reason = NO_MEMORY;
        return;
    }
    d->report = report;
    d->most = 127;
    if (!data) { /* an offset of NULL is undefined */
        data = (const uint8_t *)"";
        size = 0;
    }
    while (size && data[size - 1] == 0) /* a copy that reserved its room, or a card's block */
        size--;
    d->cursor = (Cursor){data, data + size};
    if (head_size) {
        d->later = d->cursor;
        d->cursor = (Cursor){head, head + head_size};
    }
    const Cursor *c = &d->cursor;
    if (scale && scale != 1 && scale != 2 && scale != 4 && scale != 8)
        fail(d, DECLINED, SCALE);
    else if (c->end - c->next < 2 || c->next[0] != 0xFF || c->next[1] != 0xD8)
        fail(d, DECLINED, NOT_JPEG);
    else {
        d->cursor.next += 2;
        read_file(d, &o);
    }
    if (report->state == WHOLE && o.image) {
        *o.image = (Image){.length = o.width * o.height, .n_buffers = 2, .release = release};
        o.image->pointers[1] = (uint8_t *)o.image + IMAGE_HEAD;
        o.image->buffers = o.image->pointers;
        report->image = o.image;
    } else
        free(o.image);
    free(o.memory);
    free(d->masks);
    free(d);
}

EXPORT const int32_t jpeg_vectors = SIMD; /* without, the inverse DCT takes longer */

EXPORT void jpeg_free(void *image) { free(image); }

EXPORT const char *jpeg_reason(int reason)
{
    return reason < 0 || (size_t)reason >= sizeof REASONS / sizeof *REASONS ? "" : REASONS[reason];
}

/*
 * For Pillow: `jpeg_capsule_freed` is the destructor of a capsule named "arrow_array" that holds a picture. It gets at
 * it by Python's PyCapsule_GetPointer, whose address `jpeg_python` is given. The names of capsules must outlive them,
 * also when Python ends and takes its modules apart: so they are kept here.
 */
EXPORT const char jpeg_array_name[] = "arrow_array", jpeg_schema_name[] = "arrow_schema";

static void *(*get_pointer)(void *, const char *);

EXPORT void jpeg_python(void *pycapsule_getpointer)
{
    memcpy(&get_pointer, &pycapsule_getpointer, sizeof get_pointer);
}

EXPORT void jpeg_capsule_freed(void *capsule)
{
    free(get_pointer(capsule, jpeg_array_name));
}

typedef struct {
    const char *format, *name, *metadata;
    int64_t flags, n_children;
    void *children, *dictionary;
    void (*release)(void *);
    void *private_data;
} Schema;

EXPORT const Schema jpeg_grey_schema = {.format = "C"}, jpeg_colour_schema = {.format = "I"};
