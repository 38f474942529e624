"""Running what is a loop's work: in the caller's loop, or in one made for it."""
