"""The command line: one file per command, and what they share.

General layout: `main` is the root command, `one_shot` answers one prompt (`prompt` reads it), `repl` is
the session. `profile`, `check`, `demo` and `faults` are commands. `failures` prints errors; `stopping` and
`standard_streams` see to signals and pipes; `debug_log` turns log lines on.

Modules here import only click at their top: `understudy --version` must not wait for the rest.
"""
