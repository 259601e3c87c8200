from lens._core.stream_state cimport StreamState


cdef tuple facts_of(StreamState stream)
