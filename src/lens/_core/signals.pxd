"""Compiled rules for C: what one event signals, without objects or the GIL."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from lens._core.tape cimport lens_buf_free, lens_buf_t

cdef extern from "signal_bits.h" nogil:
    enum:
        LENS_SIGNAL_TEXT
        LENS_SIGNAL_REASONING
        LENS_SIGNAL_TOOL
        LENS_SIGNAL_REFUSAL
        LENS_SIGNAL_AUDIO
        LENS_SIGNAL_USAGE
        LENS_SIGNAL_FINISH
        LENS_SIGNAL_ERROR
        LENS_SIGNAL_DONE
        LENS_SIGNAL_MALFORMED
        LENS_SIGNAL_CONTENT
        LENS_SIGNAL_ALL

cdef extern from "rules.h" nogil:
    enum:
        LENS_NO_NODE
        LENS_NO_GUARD
        LENS_RULES_MOST
        LENS_SLOTS_MOST
        LENS_GUARDS_MOST
    ctypedef struct lens_node_t:
        uint64_t first_bytes
        uint16_t first_key, n_keys, each, inner, first_rule, n_rules, first_test, n_tests, first_guard, n_guards, block
    ctypedef struct lens_trie_key_t:
        uint32_t at
        uint16_t n, node
    ctypedef struct lens_rule_t:
        uint16_t mask, slot, guard
        uint8_t string
    ctypedef struct lens_guard_t:
        uint32_t at
        uint16_t n
        uint8_t kind, negate
        uint16_t first_rule, n_rules
    ctypedef struct lens_rules_t:
        lens_node_t *nodes
        lens_trie_key_t *keys
        lens_rule_t *rules
        lens_guard_t *guards
        uint16_t *rule_refs
        uint16_t *test_refs
        uint16_t *slot_masks
        unsigned char *text
        unsigned char *done
        uint32_t n_nodes, n_keys, n_rules, n_guards, n_slots, n_done

cdef extern from "scan.h" nogil:
    ctypedef struct lens_template_t:
        lens_buf_t event
    ctypedef struct lens_found_t:
        uint16_t signals
        uint16_t block
        uint8_t over
        uint32_t chars
    # Signals of one event: 0, or -1 when there is no memory. `learned` is the caller's, one a stream, and may be NULL.
    int lens_rules_scan(const lens_rules_t *rules, const unsigned char *data, size_t n, const unsigned char *type,
                        size_t type_n, lens_template_t *learned, lens_found_t *out) noexcept


cdef class SignalSet:
    cdef lens_rules_t rules   # flat arrays, owned; only read after __cinit__
