/* Assertions of the checked build (-DLENS_CORE_CHECKED): they stop the process at the spot. */
#ifndef LENS_CHECK_H
#define LENS_CHECK_H

#ifdef LENS_CORE_CHECKED
#include <stdio.h>
#include <stdlib.h>

static inline void lens_broken(const char *what, const char *file, int line) {
    fprintf(stderr, "%s:%d: broken: %s\n", file, line, what);
    abort();
}
#define LENS_ASSERT(ok) ((ok) ? (void)0 : lens_broken(#ok, __FILE__, __LINE__))
#else
#define LENS_ASSERT(ok) ((void)sizeof(ok)) /* names what it looks at, and does nothing */
#endif

#endif
