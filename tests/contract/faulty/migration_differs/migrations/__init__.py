"""The revisions of the tags."""
