"""Samples of shell, markup and data languages."""

from __future__ import annotations

SAMPLES: dict[str, tuple[str, list[tuple[str, str]]]] = {}

SAMPLES["Shell"] = (
    """#!/usr/bin/env bash
set -euo pipefail

LIMIT=12
export SIDE=left

# Whether it can.
lift() {
    local weight=$1
    if [ "$weight" -gt "$LIMIT" ]; then
        return 1
    fi
}

function turn {
    echo "$SIDE"
}

for berth in a b c; do
    lift "$berth" || turn
done

cat <<EOF
open
EOF
""",
    [("const", "LIMIT"), ("function", "lift"), ("function", "turn")],
)

SAMPLES["SQL"] = (
    """-- Where ships lie.
CREATE TABLE harbour.berths (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL, -- as painted on the quay
    depth NUMERIC(4, 1)
);

CREATE INDEX berths_by_name ON harbour.berths (name);

CREATE VIEW deep AS SELECT * FROM harbour.berths WHERE depth > 12;

CREATE FUNCTION distance(a integer, b integer) RETURNS integer AS $$
    SELECT abs(a - b);
$$ LANGUAGE sql;

INSERT INTO harbour.berths (id, name) VALUES (1, 'left'), (2, 'right');

SELECT name, count(*) FROM harbour.berths GROUP BY name;
""",
    [("struct", "harbour.berths"), ("struct", "deep"), ("function", "distance")],
)

SAMPLES["HTML"] = (
    """<!DOCTYPE html>
<html lang="en">
<head>
  <title>Harbour</title>
  <style>
    .berth { color: blue; }
  </style>
</head>
<body>
  <!-- What is open -->
  <main id="berths">
    <h1>Berths</h1>
    <p>Left and <b>right</b>.</p>
    <br>
    <img src="crane.png" alt="A crane">
  </main>
  <script>
    document.querySelector('main').focus();
  </script>
</body>
</html>
""",
    [],
)

SAMPLES["CSS"] = (
    """@import url("base.css");

:root {
  --depth: 12px;
}

/* Where ships lie. */
.berth > a:hover,
#left {
  color: navy;
  margin: 0 var(--depth);
}

@media (max-width: 600px) {
  .berth {
    display: none;
  }
}

@keyframes turn {
  from { rotate: 0deg; }
  to { rotate: 90deg; }
}
""",
    [],
)

SAMPLES["JSON"] = (
    """{
  "name": "harbour",
  "version": "1.2.0",
  "berths": [
    {"name": "left", "depth": 12.5},
    {"name": "right", "depth": null}
  ],
  "open": {"from": "06:00", "to": "22:00", "days": [1, 2, 3]}
}
""",
    [],
)

SAMPLES["YAML"] = (
    """# What runs where.
version: "3"
services:
  crane: &crane
    image: crane:1.2
    ports:
      - "80:80"
  tide:
    <<: *crane
    command: |
      measure
      report
---
berths: [left, right]
""",
    [],
)

SAMPLES["TOML"] = (
    """# What is built.
title = "harbour"

[project]
name = "harbour"
berths = ["left", "right"]

[project.scripts]
lift = "harbour:lift"

[[cranes]]
name = "left"

[[cranes]]
name = "right"
""",
    [],
)

SAMPLES["Markdown"] = (
    """---
title: Harbour
---

# Harbour

Where ships lie.

## Berths

| name | depth |
|------|-------|
| left | 12    |

- one
- two

```python
def lift():
    return 12
```

Tides
-----

High and *low*.

# Legal

None.
""",
    [],
)
