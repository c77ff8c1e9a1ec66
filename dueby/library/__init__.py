"""The functions that `import dueby` offers: what the command does, with its objects and its sentences.

Nothing here prints, and nothing ends the process: what is wrong is raised as `dueby_api.errors.DueByError` with the
sentence that the command prints. What a function returns shows itself in a notebook, as the page that the
command makes.
"""
