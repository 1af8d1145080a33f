"""What makes the book out of its pages: reading, keys, executing, results, a Sphinx extension, the command line."""
