/* The core's C on what libFuzzer finds (clang -fsanitize=fuzzer); without libFuzzer (-DREPLAY) on the files it is given.

   The first byte says what comes: its lowest two bits are the framing of events (SSE, lines, array, AWS frames), the
   next two that of the body (length, chunked, until the end), the fifth whether memory runs out somewhere. The second
   seeds the cuts. The rest is the answer. */
#include <stdint.h>

#include "fuzz_core.h"

#define MOST_BYTES 4096 /* of an event */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static int ready;
    lens_buf_t input = {0, 0, 0};
    answer_t whole, cut;
    int kind, body;
    if (n < 2) return 0;
    if (!ready) make_rules(), lens_crc32_start(), ready = 1;
    kind = data[0] & 3, body = 1 + (data[0] >> 2 & 3) % 3;
    state = data[1];
    lens_buf_add(&input, data + 2, n - 2);
    if (data[0] & 16) {
        allocations_left = data[1] % 16;
        decode(&input, kind, body, MOST_BYTES, 1 + any(40));
        allocations_left = -1;
    }
    whole = decode(&input, kind, body, MOST_BYTES, 1 << 20);
    cut = decode(&input, kind, body, MOST_BYTES, 1 + any(40));
    must_agree(&whole, &cut);
    free(input.p);
    return 0;
}

#ifdef REPLAY
int main(int argc, char **argv) {
    static uint8_t bytes[1 << 22];
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        if (!file) return perror(argv[i]), 1;
        LLVMFuzzerTestOneInput(bytes, fread(bytes, 1, sizeof bytes, file));
        fclose(file);
    }
    printf("%d files\n", argc - 1);
    return 0;
}
#endif
