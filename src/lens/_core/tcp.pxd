cdef tuple read_facts(int fd)
