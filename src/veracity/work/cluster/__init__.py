"""Links of a chain on many machines.

Ray starts processes where there is room (:mod:`.submit`, :mod:`.task`); that is all it does. Each
of them (:mod:`.worker`) calls back to the process that asked (:mod:`.pool`) under mutual TLS with
the certificates of the cluster (:mod:`.identity`), and everything that is secret travels there: no
value, no blind and no path is a task's argument or lies in an object store. A proof that is made so
is an ordinary proof of the same statement.
"""
