/* What can be against the protocol, and its words for a reader. */
#ifndef LENS_ERRORS_H
#define LENS_ERRORS_H

enum {
    ERROR_NONE,
    ERROR_CHUNK_SIZE,
    ERROR_CHUNK_END,
    ERROR_EXTENSION_LONG,
    ERROR_TRAILERS,
    ERROR_TRAILERS_LONG,
    ERROR_INCOMPLETE_BODY,
    ERROR_EVENT_LONG,
    ERROR_BODY_LONG,
    ERROR_CHECKSUM,
    ERROR_EVENT_LENGTH,
    ERROR_EVENT_HEADERS,
    ERROR_INCOMPLETE_EVENT,
    ERROR_MEMORY,
};

static inline const char *error_words(int error) {
    static const char *const words[] = {
        "no error",
        "bad chunk size",
        "bad chunk end",
        "chunk extension too long",
        "bad trailers",
        "trailers too long",
        "incomplete body",
        "event too long",
        "body too long",
        "bad checksum",
        "bad event length",
        "bad event headers",
        "incomplete event",
        "out of memory",
    };
    return words[error];
}

#endif
