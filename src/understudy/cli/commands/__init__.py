"""The slash commands of a session, one file a family.

General layout: `command` says what a command is, `table` lists them all: it drives dispatch, ``/help``,
completion and the documentation.
"""
