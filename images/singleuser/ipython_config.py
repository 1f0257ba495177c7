"""What every kernel and terminal IPython begins with."""

c.InteractiveShellApp.extensions.append("replica")  # noqa: F821 - IPython gives it.
