# A login shell sets its own path: the notebook Python comes first there too.
PATH=/opt/venv/bin:$PATH
