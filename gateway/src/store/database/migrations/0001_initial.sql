-- Times are Unix milliseconds; ids and digests raw bytes; states the words of the API. One text for both databases: what
-- stands in braces is each one's own word (database::schema).

-- Fair turns: each user's tasks of one operation that demand the same of their worker are a flow of their own, and flows take
-- turns (queue::pick).
CREATE TABLE flows (
    number       {key},
    operation    TEXT      NOT NULL,
    version      {integer} NOT NULL,
    requirements TEXT      NOT NULL, -- JSON, of which there is one text for each demand
    user_name    TEXT      NOT NULL,
    queued       {integer} NOT NULL CHECK (queued >= 0), -- tasks that wait now
    turn         {integer} NOT NULL,                     -- virtual time: the turn that it takes next
    UNIQUE (operation, version, requirements, user_name)
) {table};
CREATE INDEX flows_waiting ON flows (operation, version, requirements, turn, number) WHERE queued > 0;
CREATE INDEX flows_turn ON flows (turn);
CREATE INDEX flows_by_user ON flows (user_name, queued);

-- The hot row: small, rewritten by every step of a task's life. Payloads live in the tables below. What the queue writes for
-- each task has no foreign key: each would be a look of its own for what the same statement has just made or read.
CREATE TABLE tasks (
    number           {row_key},          -- given out by queue::submit
    id               {bytes}   NOT NULL UNIQUE CHECK (length(id) = 16),
    user_name        TEXT      NOT NULL,
    flow             {integer} NOT NULL, -- of flows
    -- No IN: of more than two words SQLite makes a table at each write.
    state            TEXT      NOT NULL CHECK (state = 'queued' OR state = 'running' OR state = 'succeeded' OR
                         state = 'dead-letter' OR state = 'cancelled' OR state = 'expired'),
    priority         {integer} NOT NULL,
    rank             {integer} NOT NULL, -- the smallest is leased next: queue::rank
    submitted_ms     {integer} NOT NULL,
    deadline_ms      {integer},
    attempts         {integer} NOT NULL, -- deliveries that count
    max_attempts     {integer} NOT NULL,
    fencing_token    {integer} NOT NULL, -- of the newest lease; never shrinks
    payload_bytes    {integer} NOT NULL, -- body and inline inputs, as a lease carries them
    idempotency_key  TEXT,
    worker           TEXT,               -- who has it, or had it last
    session          {bytes},
    leased_ms        {integer},
    lease_expires_ms {integer} CHECK ((state = 'running') = (lease_expires_ms IS NOT NULL)),
    avoid_until_ms   {integer},          -- until then the worker on which the latest attempt failed does not get it again
    finished_ms      {integer}
) {table};
CREATE INDEX tasks_queued ON tasks (flow, rank, number) WHERE state = 'queued';
CREATE INDEX tasks_leased ON tasks (lease_expires_ms, worker) WHERE state = 'running';
CREATE INDEX tasks_deadline ON tasks (deadline_ms) WHERE state = 'queued' AND deadline_ms IS NOT NULL;
CREATE INDEX tasks_dead_letter ON tasks (id) WHERE state = 'dead-letter';
CREATE INDEX tasks_by_user ON tasks (user_name, id);
CREATE INDEX tasks_finished ON tasks (finished_ms) WHERE finished_ms IS NOT NULL;
CREATE UNIQUE INDEX tasks_idempotency_key ON tasks (user_name, idempotency_key) WHERE idempotency_key IS NOT NULL;

-- Written once, read by each lease. What an ack reads stands first: it need not read the rest.
CREATE TABLE task_payloads (
    task         {row_key}, -- of tasks
    digest       {bytes}   NOT NULL CHECK (length(digest) = 32),
    output_bytes {integer} NOT NULL, -- what the catalogue says the output will have
    inputs       {bytes}   NOT NULL, -- one record each: queue::inputs
    body         {bytes}   NOT NULL, -- canonical, RFC 8785
    data         {bytes}   NOT NULL  -- inline inputs, end to end
) {table};

-- Inputs that are blobs.
CREATE TABLE task_blobs (
    task   {integer} NOT NULL REFERENCES tasks (number),
    sha256 {bytes}   NOT NULL CHECK (length(sha256) = 32),
    PRIMARY KEY (task, sha256)
) {keyed_table};
CREATE INDEX task_blobs_by_digest ON task_blobs (sha256);

-- Why the latest attempt failed. Most tasks have none.
CREATE TABLE task_faults (
    task    {row_key} REFERENCES tasks (number),
    message TEXT      NOT NULL
) {table};

-- Kept as it is today for the operator's view: counting a million rows at each scrape is too slow.
CREATE TABLE task_counts (
    state TEXT      PRIMARY KEY,
    tasks {integer} NOT NULL
) {keyed_table};
INSERT INTO task_counts (state, tasks)
VALUES ('queued', 0), ('running', 0), ('succeeded', 0), ('dead-letter', 0), ('cancelled', 0), ('expired', 0);

CREATE TABLE workers (
    id               TEXT      PRIMARY KEY,
    enrolment_secret {bytes}   NOT NULL CHECK (length(enrolment_secret) = 32), -- in clear: it keys an HMAC
    created_ms       {integer} NOT NULL,
    draining         {integer} NOT NULL DEFAULT 0 CHECK (draining IN (0, 1)),
    tasks_succeeded  {integer} NOT NULL DEFAULT 0,
    refusal_code     TEXT,
    refusal_ms       {integer}
) {keyed_table};

-- What follows names workers without referring to them: history outlives its worker.

CREATE TABLE sessions (
    id          {bytes}   PRIMARY KEY CHECK (length(id) = 16),
    worker      TEXT      NOT NULL,
    peer        TEXT      NOT NULL,
    admitted_ms {integer} NOT NULL,
    ended_ms    {integer}
) {keyed_table};

CREATE TABLE attestations (
    number      {key},
    id          {bytes}   NOT NULL UNIQUE CHECK (length(id) = 64), -- the report data
    worker      TEXT      NOT NULL,
    session     {bytes}   NOT NULL CHECK (length(session) = 16),
    recorded_ms {integer} NOT NULL,
    record      {bytes}   NOT NULL -- JSON of the auditor's record
) {table};
CREATE INDEX attestations_by_worker ON attestations (worker, number);

-- What many verdicts share is kept once: appraisal policies, each platform family's collateral, and the reference manifests of
-- each kind of GPU.
CREATE TABLE documents (
    number {key},
    sha256 {bytes} NOT NULL UNIQUE CHECK (length(sha256) = 32),
    text   TEXT    NOT NULL
) {table};

-- Verdicts that were reached again, over evidence that was recorded before: under another policy, with other collateral.
CREATE TABLE reappraisals (
    number         {key},
    attestation    {integer} NOT NULL REFERENCES attestations (number),
    appraised_ms   {integer} NOT NULL,
    code           TEXT,               -- why it refused; absent: it accepted
    policy         {integer} NOT NULL REFERENCES documents (number),
    collateral     {integer} NOT NULL REFERENCES documents (number),
    gpu_references {integer} REFERENCES documents (number), -- absent: none were needed
    transcript     {bytes}   NOT NULL  -- JSON
) {table};
CREATE INDEX reappraisals_by_attestation ON reappraisals (attestation, number);

-- One signed statement over the leaves of one ack batch. Proofs are derived from the leaf hashes.
CREATE TABLE receipt_batches (
    number      {key},
    attestation {integer} NOT NULL REFERENCES attestations (number),
    statement   TEXT      NOT NULL,
    receipt_key {bytes}   NOT NULL, -- SubjectPublicKeyInfo
    leaf_hashes {bytes}   NOT NULL CHECK (length(leaf_hashes) % 32 = 0),
    accepted_ms {integer} NOT NULL
) {table};
CREATE INDEX receipt_batches_accepted ON receipt_batches (accepted_ms);

-- The one effective output of a task, with its receipt: the primary key holds "exactly once". A batch goes behind its outputs,
-- which were accepted in the same moment, so nothing need look for them when it goes.
CREATE TABLE task_outputs (
    task     {row_key}, -- of tasks
    sha256   {bytes}   NOT NULL CHECK (length(sha256) = 32),
    bytes    {integer} NOT NULL,
    batch    {integer} NOT NULL, -- of receipt_batches
    position {integer} NOT NULL,
    leaf     {bytes}   NOT NULL, -- verbatim
    data     {bytes}             -- absent: a blob
) {table};
CREATE INDEX task_outputs_blobs ON task_outputs (sha256) WHERE data IS NULL;

-- Who has shown that they hold the bytes of a blob. Content is stored once, ownership for each.
CREATE TABLE user_blobs (
    user_name TEXT      NOT NULL,
    sha256    {bytes}   NOT NULL CHECK (length(sha256) = 32),
    bytes     {integer} NOT NULL,
    stored_ms {integer} NOT NULL,
    PRIMARY KEY (user_name, sha256)
) {keyed_table};
CREATE INDEX user_blobs_by_digest ON user_blobs (sha256);
CREATE INDEX user_blobs_stored ON user_blobs (stored_ms);

CREATE TABLE worker_blobs (
    worker    TEXT      NOT NULL,
    sha256    {bytes}   NOT NULL CHECK (length(sha256) = 32),
    bytes     {integer} NOT NULL,
    stored_ms {integer} NOT NULL,
    PRIMARY KEY (worker, sha256)
) {keyed_table};
CREATE INDEX worker_blobs_by_digest ON worker_blobs (sha256);
CREATE INDEX worker_blobs_stored ON worker_blobs (stored_ms);

CREATE TABLE access_tokens (
    id           {key},
    sha256       {bytes}   NOT NULL UNIQUE CHECK (length(sha256) = 32), -- of the access token's text
    user_name    TEXT      NOT NULL,
    role         TEXT      NOT NULL CHECK (role IN ('client', 'operator')),
    created_ms   {integer} NOT NULL,
    last_used_ms {integer},
    revoked_ms   {integer}
) {table};
