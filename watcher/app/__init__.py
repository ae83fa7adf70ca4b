"""The composition root: the engine built out of real parts, and what runs beside it."""
