"""A site that differs from ours: users by e-mail with a UUID key, French, thousand separators, below a path."""
