/*
 * A libFuzzer harness of the JPEG decoder, with all that may be handed to it: any bytes, walked and decoded at each scale.
 *
 *     clang -std=c11 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -o fuzz fuzz_jpeg.c
 *     ./fuzz -max_total_time=60 CORPUS
 */
#include "../../watcher/render/native/jpeg.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int scales[] = {0, 8, 4, 2, 1};
    uint64_t sum = 0;
    for (size_t i = 0; i < sizeof scales / sizeof *scales; i++) {
        Report report;
        /* in two pieces for some of them, as where the header was found already */
        size_t head = size > 4 && data[size - 1] & 1 ? size / 2 : 0;
        /* in memory of exactly their sizes, so that a byte more shows */
        uint8_t *first = malloc(head + !head), *second = malloc(size - head + (size == head));
        memcpy(first, data, head);
        memcpy(second, data + head, size - head);
        jpeg_read(first, head, second, size - head, scales[i], &report);
        free(first);
        free(second);
        if (report.image) {
            const uint8_t *pixels = (const uint8_t *)report.image + IMAGE_HEAD;
            int scale = scales[i];
            int64_t bytes = divide_up(report.width, scale) * divide_up(report.height, scale);
            bytes *= report.channels == 1 ? 1 : 4;
            for (int64_t at = 0; at < bytes; at++)
                sum += pixels[at];
        }
        if (report.done > report.total || report.state < WHOLE || report.state > DECLINED)
            __builtin_trap();
        jpeg_free(report.image);
        (void)jpeg_reason(report.reason);
    }
    return (int)(sum & 0); /* so that each pixel is read */
}
