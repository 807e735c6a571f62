"""Indexes for tables that are in use: PostgreSQL builds them while others write, SQLite, which has one writer, at once."""

from typing import Any

from django.db.migrations import AddIndex


class AddIndexConcurrently(AddIndex):
    """Add an index without a lock that writers wait for; its migration says `atomic = False`.

    Django's own operation is for PostgreSQL alone. What a broken build left is dropped first: `migrate` may be repeated.
    """

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Build the index."""
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        else:
            model = to_state.apps.get_model(app_label, self.model_name)
            schema_editor.remove_index(model, self.index, concurrently=True)
            schema_editor.add_index(model, self.index, concurrently=True)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Drop the index."""
        if schema_editor.connection.vendor != "postgresql":
            super().database_backwards(app_label, schema_editor, from_state, to_state)
        else:
            model = from_state.apps.get_model(app_label, self.model_name)
            schema_editor.remove_index(model, self.index, concurrently=True)
