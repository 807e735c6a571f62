"""The Django app that drills add to a platform: the witness job, and the points at which a process may end."""
