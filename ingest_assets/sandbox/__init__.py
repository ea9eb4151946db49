"""The one place where bytes that others made are parsed: child processes with limits, without secrets.

A child has an environment of its own, may open only the files that it is given, has no network, starts no
program, and is bounded in memory, in the CPU time of each answer, and in what it writes and sends. If it
dies, or exceeds a bound, the item that it was working on is refused; the run goes on.

- `limits`: what a child may use, and which files it may open.
- `process`: starting a child, asking it, and ending it.
- `child`: what the child does first: it gives up its rights.
- `folder`: the children of one workbench, and the temporary folders that they get.
- `reading`: a source that is read in a child; `reader` is the child's side, and `answers` what it sends.
- `chunking`: a chunker that runs in a child.
- `probe`: whether all this works on this machine.

What belongs here: confinement. What does not: any particular parser.
"""

from ingest_assets.sandbox.folder import Sandbox
from ingest_assets.sandbox.limits import Grants, Limits
from ingest_assets.sandbox.process import Confined, ConfinedError

__all__ = ["Confined", "ConfinedError", "Grants", "Limits", "Sandbox"]
