"""Who is told of batches: the listener at GATE_URL, the failure log, and people."""
