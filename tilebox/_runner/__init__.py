"""What carries out tasks: the engine, its threads and processes, and the companion that keeps leases alive."""
