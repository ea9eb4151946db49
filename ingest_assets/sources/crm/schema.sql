-- The default schema of a CRM. default.toml describes it to the reader; a CRM with other tables needs its
-- own mapping file, and no code. Times are ISO 8601 in UTC, amounts are in units of their currency.

CREATE TABLE organisations (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,              -- with its legal form, as on a letterhead
    domain     TEXT,                       -- of its web site and mail, without www
    phone      TEXT,
    industry   TEXT,
    city       TEXT,
    country    TEXT,
    notes      TEXT,
    created_at TEXT
);

CREATE TABLE people (
    id              INTEGER PRIMARY KEY,
    name            TEXT NOT NULL,
    title           TEXT,                  -- what they do there
    email           TEXT,
    second_email    TEXT,
    phone           TEXT,
    organisation_id INTEGER REFERENCES organisations (id) ON DELETE SET NULL,
    notes           TEXT,
    created_at      TEXT
);

CREATE TABLE interactions (
    id              INTEGER PRIMARY KEY,
    kind            TEXT NOT NULL CHECK (kind IN ('email', 'meeting', 'call', 'note')),
    subject         TEXT,
    body            TEXT,
    occurred_at     TEXT,
    organisation_id INTEGER REFERENCES organisations (id) ON DELETE SET NULL
);

CREATE TABLE interaction_participants (
    interaction_id INTEGER NOT NULL REFERENCES interactions (id) ON DELETE CASCADE,
    person_id      INTEGER NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    PRIMARY KEY (interaction_id, person_id)
) WITHOUT ROWID;

CREATE TABLE opportunities (
    id              INTEGER PRIMARY KEY,
    name            TEXT NOT NULL,
    stage           TEXT NOT NULL,         -- lead, qualified, proposal, negotiation, won, lost
    amount          REAL,
    currency        TEXT,                  -- ISO 4217
    organisation_id INTEGER REFERENCES organisations (id) ON DELETE SET NULL,
    contact_id      INTEGER REFERENCES people (id) ON DELETE SET NULL,
    owner           TEXT,                  -- the colleague who looks after it
    expected_close  TEXT,                  -- a date
    notes           TEXT,
    created_at      TEXT
);

CREATE INDEX people_by_organisation ON people (organisation_id);
CREATE INDEX interactions_by_organisation ON interactions (organisation_id);
CREATE INDEX participants_by_person ON interaction_participants (person_id);
CREATE INDEX opportunities_by_organisation ON opportunities (organisation_id);
CREATE INDEX opportunities_by_contact ON opportunities (contact_id);
