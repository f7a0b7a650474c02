"""The portal's loop, and how threads and the loop hand over to each other."""
