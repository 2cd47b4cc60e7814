"""The command line: one file per command, and what they share.

General layout: `process` is one run of the program, `main` its root command; `one_shot` answers one prompt
(`prompt` reads it), `repl` holds a session. `profile`, `check`, `demo` and `faults` are commands. `failures`
prints errors; `stopping` and `standard_streams` see to signals and pipes; `debug_log` turns log lines on.

Modules here import only click at their top: `understudy --version` must not wait for the rest.
"""
