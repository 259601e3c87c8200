/* CRC-32 as gzip and AWS use it (reflected, polynomial EDB88320). The table is in crc32.c,
   which must be linked; it is a source file of the distribution and is not installed. */
#ifndef LENS_CRC32_H
#define LENS_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* Once, before the first checksum and before other threads ask for one. */
void lens_crc32_start(void);

/* The checksum of n bytes. */
uint32_t lens_crc32(const unsigned char *p, size_t n);

#endif
