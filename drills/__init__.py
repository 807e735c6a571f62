"""Drills: break a running platform on purpose and prove that no job is lost or recorded twice. See docs/drills.md."""
