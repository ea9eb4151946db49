"""From a file in the spool to a row of the manifest: claiming, reading and checking batches."""
