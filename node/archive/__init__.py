"""Ranges of the chain in files that prove themselves (docs/spec/archive.md).

format   what such a file is made of, and how it is read
writing  writes one from a database
proving  proves one from the genesis
keeping  has a proven one of a range: the file that is there, or a new one
"""
