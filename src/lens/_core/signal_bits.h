/* What an event carries, as bits: lens.model.Signal in C. The only place in the core that gives them numbers. */
#ifndef LENS_SIGNAL_BITS_H
#define LENS_SIGNAL_BITS_H

enum {
    LENS_SIGNAL_TEXT = 1 << 0,
    LENS_SIGNAL_REASONING = 1 << 1,
    LENS_SIGNAL_TOOL = 1 << 2,
    LENS_SIGNAL_REFUSAL = 1 << 3,
    LENS_SIGNAL_AUDIO = 1 << 4,
    LENS_SIGNAL_USAGE = 1 << 5,
    LENS_SIGNAL_FINISH = 1 << 6,
    LENS_SIGNAL_ERROR = 1 << 7,
    LENS_SIGNAL_DONE = 1 << 8,
    LENS_SIGNAL_MALFORMED = 1 << 9,
    LENS_SIGNAL_CONTENT = LENS_SIGNAL_TEXT | LENS_SIGNAL_REASONING | LENS_SIGNAL_TOOL | LENS_SIGNAL_REFUSAL |
                          LENS_SIGNAL_AUDIO,
    LENS_SIGNAL_ALL = (LENS_SIGNAL_MALFORMED << 1) - 1,
};

#endif
