"""Compiled rules for C: what one event signals, without objects or the GIL."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from lens._core.tape cimport buf_free, buf_t

cdef extern from "rules.h" nogil:
    enum:
        NO_NODE
        NO_GUARD
        RULES_MOST
        SLOTS_MOST
        GUARDS_MOST
        CONTENT_BITS
        ERROR_BIT
        DONE_BIT
        MALFORMED_BIT
    ctypedef struct node_t:
        uint64_t first_bytes
        uint16_t first_key, n_keys, each, inner, first_rule, n_rules, first_test, n_tests, first_guard, n_guards
    ctypedef struct trie_key_t:
        uint32_t at
        uint16_t n, node
    ctypedef struct rule_t:
        uint16_t mask, slot, guard
        uint8_t string
    ctypedef struct guard_t:
        uint32_t at
        uint16_t n
        uint8_t kind, negate
        uint16_t first_rule, n_rules
    ctypedef struct rules_t:
        node_t *nodes
        trie_key_t *keys
        rule_t *rules
        guard_t *guards
        uint16_t *rule_refs
        uint16_t *test_refs
        uint16_t *slot_masks
        unsigned char *text
        unsigned char *done
        uint32_t n_nodes, n_keys, n_rules, n_guards, n_slots, n_done

cdef extern from "scan.h" nogil:
    ctypedef struct learned_t:
        buf_t event
    ctypedef struct found_t:
        uint16_t signals
        uint8_t over
        uint32_t chars
    # Signals of one event: 0, or -1 when there is no memory. `learned` is the caller's, one a stream, and may be NULL.
    int rules_scan(const rules_t *rules, const unsigned char *data, size_t n, const unsigned char *type, size_t type_n,
                   learned_t *learned, found_t *out) noexcept


cdef class SignalSet:
    cdef rules_t rules   # flat arrays, owned; only read after __cinit__
