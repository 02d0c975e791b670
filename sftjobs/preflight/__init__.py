"""`helm test`: does this cluster have what the run needs? Each failure says what to do."""
