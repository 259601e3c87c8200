/* A provider's signal rules as the walk uses them: a trie of keys in flat arrays, and numbers for all names.

   Built once by SignalSet and then only read, so that all streams share it. */
#ifndef LENS_RULES_H
#define LENS_RULES_H

#include <stddef.h>
#include <stdint.h>

#include "signal_bits.h"

enum {
    LENS_NO_NODE = 0xFFFF,
    LENS_NO_GUARD = 0xFFFF,
    /* Sizes of the walk's own arrays; providers use a tenth of them. */
    LENS_RULES_MOST = 256,
    LENS_SLOTS_MOST = 64,
    LENS_GUARDS_MOST = 128,
};

typedef struct {
    uint64_t first_bytes;           /* bit (byte & 63) of each key's first byte: most keys are refused by it */
    uint16_t first_key, n_keys;     /* in keys */
    uint16_t each;                  /* node of an array's elements */
    uint16_t inner;                 /* node of the JSON inside this base64 string */
    uint16_t first_rule, n_rules;   /* that end here, in rule_refs */
    uint16_t first_test, n_tests;   /* guards that look at this value, in test_refs */
    uint16_t first_guard, n_guards; /* guards whose scope this is, in guards */
    uint16_t block;                 /* 1: a number here is that of the event's block */
} lens_node_t;

typedef struct {
    uint32_t at; /* in text */
    uint16_t n;
    uint16_t node;
} lens_trie_key_t;

typedef struct {
    uint16_t mask;  /* Signal bits */
    uint16_t slot;  /* where its characters are summed: one each mask and group */
    uint16_t guard; /* or LENS_NO_GUARD */
    uint8_t string; /* takes a string and counts it; else takes any value */
} lens_rule_t;

typedef struct {
    uint32_t at;                  /* of the string, in text */
    uint16_t n;
    uint8_t kind;                 /* of what is wanted: 0 string, 1 true, 2 false */
    uint8_t negate;
    uint16_t first_rule, n_rules; /* rules lie in the order of their guards */
} lens_guard_t;

typedef struct {
    lens_node_t *nodes; /* node 0 is the root */
    lens_trie_key_t *keys;
    lens_rule_t *rules;
    lens_guard_t *guards;
    uint16_t *rule_refs, *test_refs;
    uint16_t *slot_masks;
    unsigned char *text; /* of keys and guards */
    unsigned char *done; /* the data that ends the protocol */
    uint32_t n_nodes, n_keys, n_rules, n_guards, n_slots, n_done;
} lens_rules_t;

#endif
