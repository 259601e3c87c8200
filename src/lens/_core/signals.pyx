# cython: language_level=3
"""Which signals one event carries: JSON paths matched in one pass, no object built.

The rule: everything with a name is done here, once; the walk (walk.h) sees numbers only. Rules
become a trie of keys, signals and groups become slots, and guards hang on the node of their scope.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

_EACH = "[]"
_INNER = "(base64)"

# The bits by the names of lens.model.Signal, and those that are content.
SIGNAL_BITS = {
    "TEXT": LENS_SIGNAL_TEXT,
    "REASONING": LENS_SIGNAL_REASONING,
    "TOOL": LENS_SIGNAL_TOOL,
    "REFUSAL": LENS_SIGNAL_REFUSAL,
    "AUDIO": LENS_SIGNAL_AUDIO,
    "USAGE": LENS_SIGNAL_USAGE,
    "FINISH": LENS_SIGNAL_FINISH,
    "ERROR": LENS_SIGNAL_ERROR,
    "DONE": LENS_SIGNAL_DONE,
    "MALFORMED": LENS_SIGNAL_MALFORMED,
}
CONTENT_BITS = LENS_SIGNAL_CONTENT
_KEY_MOST = 1000  # and of a guard's text; their lengths are 16 bit numbers


def _steps(str path, what):
    """"a[].b" -> ["a", "[]", "b"]; keys are bytes, so that a key can never be taken for a marker."""
    steps = []
    for place, part in enumerate(path.split(".")):
        markers = []
        while part.endswith((_EACH, _INNER)):
            marker = _EACH if part.endswith(_EACH) else _INNER
            markers.insert(0, marker)
            part = part[: -len(marker)]
        if part:
            steps.append(part.encode())
        elif place or not markers:
            raise ValueError(f"{what} {path!r}: a key is empty")
        if not part and markers[0] == _INNER:
            raise ValueError(f"{what} {path!r}: {_INNER} must follow a key")
        if len(part) > _KEY_MOST:
            raise ValueError(f"{what} {path!r}: a key is longer than {_KEY_MOST} characters")
        steps += markers
    if steps.count(_INNER) > 1:
        raise ValueError(f"{what} {path!r}: {_INNER} may stand once")
    return steps


class _Trie:
    """Nodes as they are found; each step leads from a node to its number."""

    def __init__(self):
        self.blocks = set()  # nodes whose number is that of a block
        self.nodes = [{}]
        self.tests = [[]]
        self.rules = [[]]
        self.guards = [[]]

    def node(self, steps):
        at = 0
        for step in steps:
            if step not in self.nodes[at]:
                self.nodes[at][step] = len(self.nodes)
                for column in (self.nodes, self.tests, self.rules, self.guards):
                    column.append({} if column is self.nodes else [])
            at = self.nodes[at][step]
        return at


def _parse_guard(guard, str path, list steps):
    """(scope steps, key, kind, text, negate) of a rule's guard; None where it has none."""
    if guard is None:
        return None
    scope, key, equals, negate = guard
    scope_steps = _steps(scope, "scope") if scope else []
    if steps[: len(scope_steps)] != scope_steps:
        raise ValueError(f"rule {path!r}: the scope {scope!r} of its guard does not begin the path")
    if not 0 < len(key) <= _KEY_MOST:
        raise ValueError(f"rule {path!r}: its guard's key must have 1 to {_KEY_MOST} characters")
    if isinstance(equals, bool):
        return tuple(scope_steps), key.encode(), 1 if equals else 2, b"", bool(negate)
    if not isinstance(equals, str):
        raise ValueError(f"rule {path!r}: its guard wants {equals!r}; a string, True or False would work")
    if len(equals) > _KEY_MOST:
        raise ValueError(f"rule {path!r}: its guard wants a text longer than {_KEY_MOST} characters")
    return tuple(scope_steps), key.encode(), 0, equals.encode(), bool(negate)


def _parse_rules(rows):
    """(steps, mask, string, group, guard) of each, ordered by guard, so that a guard's rules lie together."""
    parsed = []
    for path, signal, string, group, guard in rows:
        steps = _steps(path, "path")
        if not 0 < signal <= LENS_SIGNAL_ALL:
            raise ValueError(f"rule {path!r}: signal {signal} has no known bit; bits are 1 to {LENS_SIGNAL_ALL}")
        parsed.append((steps, signal, bool(string), group, _parse_guard(guard, path, steps)))
    if len(parsed) > LENS_RULES_MOST:
        raise ValueError(f"{len(parsed)} rules; at most {LENS_RULES_MOST} can be compiled")
    parsed.sort(key=lambda rule: (rule[4] is not None, repr(rule[4])))
    return parsed


cdef void *_room(size_t n, size_t size) except NULL:
    cdef void *room = calloc(n + 1, size)
    if room == NULL:
        raise MemoryError()
    return room


cdef class SignalSet:
    def __cinit__(self, rules, bytes done=b"", blocks=()):
        parsed = _parse_rules(rules)
        trie = _Trie()
        slots = sorted({(mask, group) for _, mask, _, group, _ in parsed})
        guards = list(dict.fromkeys(rule[4] for rule in parsed if rule[4]))
        if len(slots) > LENS_SLOTS_MOST or len(guards) > LENS_GUARDS_MOST:
            most = f"{LENS_SLOTS_MOST} and {LENS_GUARDS_MOST}"
            raise ValueError(f"{len(slots)} groups and {len(guards)} guards; at most {most}")
        # A node's guards must be neighbours too; they are, because the scope is what they are sorted by.
        for number, guard in enumerate(guards):
            trie.guards[trie.node(guard[0])].append(number)
            trie.tests[trie.node([*guard[0], guard[1]])].append(number)
        for number, rule in enumerate(parsed):
            trie.rules[trie.node(rule[0])].append(number)
        for path in blocks:
            trie.blocks.add(trie.node(_steps(path, "block")))
        if len(trie.nodes) >= LENS_NO_NODE:
            raise ValueError(f"{len(trie.nodes)} keys; at most {LENS_NO_NODE - 1} can be compiled")
        self._write_rules(parsed, slots, guards)
        self._write_trie(trie, guards)
        self.rules.done = <unsigned char *>_room(len(done), 1)
        self.rules.n_done = len(done)
        memcpy(self.rules.done, <const char *>done, len(done))

    def __dealloc__(self):
        free(self.rules.nodes)
        free(self.rules.keys)
        free(self.rules.rules)
        free(self.rules.guards)
        free(self.rules.rule_refs)
        free(self.rules.test_refs)
        free(self.rules.slot_masks)
        free(self.rules.text)
        free(self.rules.done)

    def _write_rules(self, list parsed, list slots, list guards):
        cdef uint32_t i
        self.rules.rules = <lens_rule_t *>_room(len(parsed), sizeof(lens_rule_t))
        self.rules.guards = <lens_guard_t *>_room(len(guards), sizeof(lens_guard_t))
        self.rules.slot_masks = <uint16_t *>_room(len(slots), sizeof(uint16_t))
        self.rules.n_rules, self.rules.n_guards, self.rules.n_slots = len(parsed), len(guards), len(slots)
        for i, (_, mask, string, group, guard) in enumerate(parsed):
            self.rules.rules[i].mask = mask
            self.rules.rules[i].string = string
            self.rules.rules[i].slot = slots.index((mask, group))
            self.rules.rules[i].guard = guards.index(guard) if guard else LENS_NO_GUARD
        for i, guard in enumerate(guards):
            self.rules.guards[i].kind = guard[2]
            self.rules.guards[i].negate = guard[4]
            numbers = [number for number, rule in enumerate(parsed) if rule[4] == guard]
            self.rules.guards[i].first_rule, self.rules.guards[i].n_rules = numbers[0], len(numbers)
        for i, (mask, _) in enumerate(slots):
            self.rules.slot_masks[i] = mask

    def _write_trie(self, trie, list guards):
        """Nodes, keys, and the text that keys and guards are compared with."""
        cdef uint32_t i, k
        cdef lens_node_t *node
        keys = [(step, to) for steps in trie.nodes for step, to in steps.items() if isinstance(step, bytes)]
        texts = [step for step, _ in keys] + [guard[3] for guard in guards]
        text = b"".join(texts)
        starts = [sum(map(len, texts[:i])) for i in range(len(texts))]
        self.rules.text = <unsigned char *>_room(len(text), 1)
        memcpy(self.rules.text, <const char *>text, len(text))
        self.rules.keys = <lens_trie_key_t *>_room(len(keys), sizeof(lens_trie_key_t))
        for k, (step, to) in enumerate(keys):
            self.rules.keys[k].at, self.rules.keys[k].n, self.rules.keys[k].node = starts[k], len(step), to
        for k in range(len(guards)):
            self.rules.guards[k].at, self.rules.guards[k].n = starts[len(keys) + k], len(guards[k][3])
        self.rules.nodes = <lens_node_t *>_room(len(trie.nodes), sizeof(lens_node_t))
        self.rules.n_nodes, self.rules.n_keys = len(trie.nodes), len(keys)
        rule_refs = [number for numbers in trie.rules for number in numbers]
        test_refs = [number for numbers in trie.tests for number in numbers]
        self.rules.rule_refs = <uint16_t *>_room(len(rule_refs), sizeof(uint16_t))
        self.rules.test_refs = <uint16_t *>_room(len(test_refs), sizeof(uint16_t))
        for i, number in enumerate(rule_refs):
            self.rules.rule_refs[i] = number
        for i, number in enumerate(test_refs):
            self.rules.test_refs[i] = number
        key_at = rule_at = test_at = 0
        for i, steps in enumerate(trie.nodes):
            node = &self.rules.nodes[i]
            own = [step for step in steps if isinstance(step, bytes)]
            node.first_key, node.n_keys = key_at, len(own)
            for step in own:
                node.first_bytes |= <uint64_t>1 << (<uint8_t>step[0] & 63)
            node.each, node.inner = steps.get(_EACH, LENS_NO_NODE), steps.get(_INNER, LENS_NO_NODE)
            node.first_rule, node.n_rules = rule_at, len(trie.rules[i])
            node.first_test, node.n_tests = test_at, len(trie.tests[i])
            node.first_guard, node.n_guards = trie.guards[i][0] if trie.guards[i] else 0, len(trie.guards[i])
            node.block = i in trie.blocks
            key_at += len(own)
            rule_at += len(trie.rules[i])
            test_at += len(trie.tests[i])

    def scan(self, bytes data):
        cdef lens_found_t found
        if lens_rules_scan(&self.rules, data, len(data), NULL, 0, NULL, &found) < 0:
            raise MemoryError()
        return found.signals, found.chars

    def block(self, bytes data):
        cdef lens_found_t found
        if lens_rules_scan(&self.rules, data, len(data), NULL, 0, NULL, &found) < 0:
            raise MemoryError()
        return found.block - 1 if found.block else None
