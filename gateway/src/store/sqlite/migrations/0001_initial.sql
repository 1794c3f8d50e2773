-- Times are Unix milliseconds; ids and digests raw bytes; states the words of the API. No type, function or clause that
-- PostgreSQL lacks, but for STRICT and WITHOUT ROWID.

-- The hot row: small, rewritten by every step of a task's life. Payloads live in the tables below.
CREATE TABLE tasks (
    number           INTEGER PRIMARY KEY,
    id               BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    user             TEXT    NOT NULL,
    state            TEXT    NOT NULL CHECK (state IN
                         ('queued', 'running', 'succeeded', 'dead-letter', 'cancelled', 'expired')),
    operation        TEXT    NOT NULL,
    version          INTEGER NOT NULL,
    priority         INTEGER NOT NULL,
    rank             INTEGER NOT NULL, -- the smallest is leased next: queue::rank
    submitted_ms     INTEGER NOT NULL,
    deadline_ms      INTEGER,
    attempts         INTEGER NOT NULL, -- deliveries that count
    max_attempts     INTEGER NOT NULL,
    fencing_token    INTEGER NOT NULL, -- of the newest lease; never shrinks
    payload_bytes    INTEGER NOT NULL, -- body and inline inputs, as a lease carries them
    worker           TEXT,             -- who has it, or had it last
    session          BLOB,
    leased_ms        INTEGER,
    lease_expires_ms INTEGER CHECK ((state = 'running') = (lease_expires_ms IS NOT NULL)),
    finished_ms      INTEGER
) STRICT;

CREATE INDEX tasks_queued ON tasks (operation, version, rank) WHERE state = 'queued';
CREATE INDEX tasks_leased ON tasks (lease_expires_ms, worker) WHERE state = 'running';
CREATE INDEX tasks_deadline ON tasks (deadline_ms) WHERE state = 'queued' AND deadline_ms IS NOT NULL;
CREATE INDEX tasks_dead_letter ON tasks (id) WHERE state = 'dead-letter';
CREATE INDEX tasks_by_user ON tasks (user, id);

CREATE TABLE task_bodies (
    task         INTEGER PRIMARY KEY REFERENCES tasks (number),
    digest       BLOB    NOT NULL CHECK (length(digest) = 32),
    output_bytes INTEGER NOT NULL, -- what the catalogue says the output will have
    body         BLOB    NOT NULL  -- canonical, RFC 8785
) STRICT;

CREATE TABLE task_inputs (
    task     INTEGER NOT NULL REFERENCES tasks (number),
    position INTEGER NOT NULL,
    sha256   BLOB    NOT NULL CHECK (length(sha256) = 32),
    bytes    INTEGER NOT NULL,
    data     BLOB, -- absent: a blob
    PRIMARY KEY (task, position)
) STRICT, WITHOUT ROWID;

-- Why the latest attempt failed. Most tasks have none.
CREATE TABLE task_faults (
    task    INTEGER PRIMARY KEY REFERENCES tasks (number),
    message TEXT    NOT NULL
) STRICT;

CREATE TABLE idempotency_keys (
    user TEXT    NOT NULL,
    key  TEXT    NOT NULL,
    task INTEGER NOT NULL REFERENCES tasks (number),
    PRIMARY KEY (user, key)
) STRICT, WITHOUT ROWID;

-- Kept as it is today for the operator's view: counting a million rows at each scrape is too slow.
CREATE TABLE task_counts (
    state TEXT    PRIMARY KEY,
    tasks INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO task_counts (state, tasks)
VALUES ('queued', 0), ('running', 0), ('succeeded', 0), ('dead-letter', 0), ('cancelled', 0), ('expired', 0);

CREATE TABLE workers (
    id               TEXT    PRIMARY KEY,
    enrolment_secret BLOB    NOT NULL CHECK (length(enrolment_secret) = 32), -- in clear: it keys an HMAC
    created_ms       INTEGER NOT NULL,
    draining         INTEGER NOT NULL DEFAULT 0 CHECK (draining IN (0, 1)),
    tasks_succeeded  INTEGER NOT NULL DEFAULT 0,
    refusal_code     TEXT,
    refusal_ms       INTEGER
) STRICT, WITHOUT ROWID;

-- What follows names workers without referring to them: history outlives its worker.

CREATE TABLE sessions (
    id          BLOB    PRIMARY KEY CHECK (length(id) = 16),
    worker      TEXT    NOT NULL,
    peer        TEXT    NOT NULL,
    admitted_ms INTEGER NOT NULL,
    ended_ms    INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE attestations (
    number      INTEGER PRIMARY KEY,
    id          BLOB    NOT NULL UNIQUE CHECK (length(id) = 64), -- the report data
    worker      TEXT    NOT NULL,
    session     BLOB    NOT NULL CHECK (length(session) = 16),
    recorded_ms INTEGER NOT NULL,
    record      BLOB    NOT NULL -- JSON of the auditor's record
) STRICT;
CREATE INDEX attestations_by_worker ON attestations (worker, number);

-- One signed statement over the leaves of one ack batch. Proofs are derived from the leaf hashes.
CREATE TABLE receipt_batches (
    number      INTEGER PRIMARY KEY,
    attestation INTEGER NOT NULL REFERENCES attestations (number),
    statement   TEXT    NOT NULL,
    receipt_key BLOB    NOT NULL, -- SubjectPublicKeyInfo
    leaf_hashes BLOB    NOT NULL CHECK (length(leaf_hashes) % 32 = 0),
    accepted_ms INTEGER NOT NULL
) STRICT;

-- The one effective output of a task, with its receipt: the primary key holds "exactly once".
CREATE TABLE task_outputs (
    task     INTEGER PRIMARY KEY REFERENCES tasks (number),
    sha256   BLOB    NOT NULL CHECK (length(sha256) = 32),
    bytes    INTEGER NOT NULL,
    batch    INTEGER NOT NULL REFERENCES receipt_batches (number),
    position INTEGER NOT NULL,
    leaf     BLOB    NOT NULL, -- verbatim
    data     BLOB              -- absent: a blob
) STRICT;

-- Who has shown that they hold the bytes of a blob. Content is stored once, ownership for each.
CREATE TABLE user_blobs (
    user      TEXT    NOT NULL,
    sha256    BLOB    NOT NULL CHECK (length(sha256) = 32),
    bytes     INTEGER NOT NULL,
    stored_ms INTEGER NOT NULL,
    PRIMARY KEY (user, sha256)
) STRICT, WITHOUT ROWID;

CREATE TABLE worker_blobs (
    worker    TEXT    NOT NULL,
    sha256    BLOB    NOT NULL CHECK (length(sha256) = 32),
    bytes     INTEGER NOT NULL,
    stored_ms INTEGER NOT NULL,
    PRIMARY KEY (worker, sha256)
) STRICT, WITHOUT ROWID;

CREATE TABLE access_tokens (
    id           INTEGER PRIMARY KEY,
    sha256       BLOB    NOT NULL UNIQUE CHECK (length(sha256) = 32), -- of the access token's text
    user         TEXT    NOT NULL,
    role         TEXT    NOT NULL CHECK (role IN ('client', 'operator')),
    created_ms   INTEGER NOT NULL,
    last_used_ms INTEGER,
    revoked_ms   INTEGER
) STRICT;
