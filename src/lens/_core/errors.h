/* What can be against the protocol, and its words for a reader. */
#ifndef LENS_ERRORS_H
#define LENS_ERRORS_H

enum {
    LENS_ERROR_NONE,
    LENS_ERROR_CHUNK_SIZE,
    LENS_ERROR_CHUNK_END,
    LENS_ERROR_EXTENSION_LONG,
    LENS_ERROR_TRAILERS,
    LENS_ERROR_TRAILERS_LONG,
    LENS_ERROR_INCOMPLETE_BODY,
    LENS_ERROR_EVENT_LONG,
    LENS_ERROR_BODY_LONG,
    LENS_ERROR_CHECKSUM,
    LENS_ERROR_EVENT_LENGTH,
    LENS_ERROR_EVENT_HEADERS,
    LENS_ERROR_INCOMPLETE_EVENT,
    LENS_ERROR_MEMORY,
    LENS_ERROR_COMPRESSED,
    LENS_ERROR_EVENTS_MANY,
    LENS_ERROR_KEPT_LONG,
    LENS_ERROR_INFLATED_LONG,
    LENS_ERROR_INFLATED_RATIO,
};

static inline const char *lens_error_message(int error) {
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
        "bad compressed data",
        "too many events",
        "too many kept bytes",
        "too many decompressed bytes",
        "compressed too densely",
    };
    return words[error];
}

#endif
