"""Pure decisions: no files, threads, processes or clock. The time is an argument."""
