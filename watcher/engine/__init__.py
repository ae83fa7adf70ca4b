"""The loop, and what it keeps of each inbox, each photo on its way and each batch."""
