"""The Django app that drills add to a platform: the job that they run, and the points at which a process may end."""
