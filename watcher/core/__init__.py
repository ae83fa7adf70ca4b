"""Pure decisions: no files, threads, processes or clock; `now` is an argument."""
